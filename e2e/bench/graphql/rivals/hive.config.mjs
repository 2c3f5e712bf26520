// Every request is executed: nothing is shared between equal ones in flight, neither of clients nor to subgraphs.
export const gatewayConfig = {
  requestDeduplication: false,
  deduplicateRequest: false,
  transportEntries: { '*.http': { options: { deduplicateInflightRequests: false } } },
  logging: 'error',
};
