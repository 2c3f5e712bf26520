package nameserver

import (
	"github.com/miekg/dns"
)

// Largest is the most bytes of a UDP answer, whatever the client takes: more would be cut into fragments somewhere
// (RFC 9715 §3.1). The rest is for TCP.
const largest = 1232

// respond makes the answer to a message: of one question, of class IN, over UDP cut to what the client takes.
func (z *Zones) respond(req *dns.Msg, udp bool) *dns.Msg {
	out := new(dns.Msg)
	out.SetReply(req)
	out.RecursionAvailable = false
	opt := req.IsEdns0()
	var r reply
	switch {
	case opt != nil && opt.Version() != 0:
		r.rcode = dns.RcodeBadVers
	case req.Opcode != dns.OpcodeQuery:
		r.rcode = dns.RcodeNotImplemented
	case len(req.Question) != 1:
		r.rcode = dns.RcodeFormatError
	case req.Question[0].Qclass != dns.ClassINET, isTransfer(req.Question[0].Qtype):
		r.rcode = dns.RcodeRefused
	default:
		r = z.Answer(req.Question[0])
	}
	out.Rcode, out.Authoritative = r.rcode&0xf, r.authoritative
	out.Answer, out.Ns, out.Extra = r.answer, r.author, r.extra
	size := dns.MinMsgSize
	if opt != nil {
		out.Extra = append(out.Extra, z.options(opt, r.rcode))
		size = max(size, min(int(opt.UDPSize()), largest))
	}
	if !udp {
		size = dns.MaxMsgSize
	}
	out.Truncate(size)
	return out
}

// options is the OPT record of an answer (RFC 6891), with a reason where there is one that tells nothing about names
// (RFC 8914).
func (z *Zones) options(asked *dns.OPT, rcode int) *dns.OPT {
	o := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	o.SetUDPSize(largest)
	o.SetDo(asked.Do())
	o.SetExtendedRcode(uint16(rcode))
	switch rcode {
	case dns.RcodeRefused:
		o.Option = append(o.Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeNotAuthoritative})
	case dns.RcodeServerFailure:
		o.Option = append(o.Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeNotReady})
	}
	return o
}

func isTransfer(qtype uint16) bool { return qtype == dns.TypeAXFR || qtype == dns.TypeIXFR }
