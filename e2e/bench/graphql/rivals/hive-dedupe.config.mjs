// Equal requests in flight share one execution, as is the default.
export const gatewayConfig = { logging: 'error' };
