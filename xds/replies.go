package xds

import (
	"fmt"
	"net/http"

	accesslog "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

// localReplies says in words what Envoy says in flags.
func (c *Compiler) localReplies() *hcm.LocalReplyConfig {
	reply := func(flag, text string) *hcm.ResponseMapper {
		return &hcm.ResponseMapper{
			Filter: &accesslog.AccessLogFilter{
				FilterSpecifier: &accesslog.AccessLogFilter_ResponseFlagFilter{
					ResponseFlagFilter: &accesslog.ResponseFlagFilter{Flags: []string{flag}},
				},
			},
			Body: &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: text}},
		}
	}
	at := " at " + c.cfg.Self.String() + ".\n"
	unreachable := reply("UH", "")
	unreachable.Body = nil
	unreachable.BodyFormatOverride = &core.SubstitutionFormatString{
		OmitEmptyValues: true, // a service whose workload is not down has no such metadata
		Format: &core.SubstitutionFormatString_TextFormatSource{TextFormatSource: &core.DataSource{Specifier: &core.DataSource_InlineString{
			InlineString: "the service is known, but no path to it answers at " + c.cfg.Self.String() +
				".%CLUSTER_METADATA(" + metadataKey + ":down)%\n"}}},
	}
	headers := fmt.Sprintf("%d KiB or %d fields (envoy.headers)", c.cfg.Limits.HeaderKiB, maxHeaders)
	return &hcm.LocalReplyConfig{Mappers: []*hcm.ResponseMapper{
		reply("NR", "no service of this name is known"+at),
		reply("NC", "no service of this name is known"+at),
		unreachable,
		reply("UF", "the next hop to the service could not be reached"+at),
		reply("UC", "the workload or the next hop closed the connection before it had answered"+at),
		reply("UPE", "the workload or the next hop answered with something that is not HTTP, or with headers of more than "+
			headers+at),
		reply("UO", "too many calls of the service are under way"+at),
		reply("OM", "Envoy has not enough memory or files for more"+at),
		refusal(http.StatusRequestHeaderFieldsTooLarge, "the request has headers of more than "+headers+at),
		refusal(http.StatusLoopDetected, c.beenHere()),
		refusal(http.StatusUpgradeRequired, "HTTP/1.0 is not served (envoy.http10)"+at),
	}}
}

// refusal says in words why Envoy itself answers with a status.
func refusal(status uint32, text string) *hcm.ResponseMapper {
	return &hcm.ResponseMapper{
		Filter: &accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_StatusCodeFilter{StatusCodeFilter: &accesslog.StatusCodeFilter{
			Comparison: &accesslog.ComparisonFilter{Op: accesslog.ComparisonFilter_EQ,
				Value: &core.RuntimeUInt32{DefaultValue: status, RuntimeKey: "catalyst.none"}}}}},
		Body: &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: text}},
	}
}
