package bgp

import "fmt"

// MaxNotificationText is the most bytes of free text that a NOTIFICATION carries (RFC 9003 §2).
const MaxNotificationText = 255

// Code is the class of a NOTIFICATION (RFC 4271 §4.5, with the numbers of the IANA registry).
type Code uint8

// The codes.
const (
	MessageHeaderError Code = 1 // framing or size
	OpenMessageError   Code = 2
	UpdateMessageError Code = 3
	HoldTimerExpired   Code = 4
	FSMError           Code = 5
	Cease              Code = 6
	RefreshError       Code = 7 // RFC 7313 §5
	SendHoldExpired    Code = 8 // RFC 9687 §4
)

// Subcode refines a Code; 0 is unspecific.
type Subcode uint8

// Subcodes of MessageHeaderError.
const (
	BadMessageLength Subcode = 2
	BadMessageType   Subcode = 3
)

// Subcodes of OpenMessageError (RFC 4271 §6.2; RoleMismatch is RFC 9234 §4.2).
const (
	UnsupportedVersion   Subcode = 1
	BadPeerOrg           Subcode = 2
	BadNodeID            Subcode = 3
	UnacceptableHoldTime Subcode = 6
	UnsupportedCapacity  Subcode = 7
	RoleMismatch         Subcode = 11
)

// Subcodes of UpdateMessageError (RFC 4271 §6.3).
const (
	MalformedAttributes Subcode = 1
	BadNodePath         Subcode = 11
)

// Subcodes of Cease (RFC 4486 §4, RFC 8538 §3, RFC 9384 §3).
const (
	MaxRoutesReached    Subcode = 1
	AdminShutdown       Subcode = 2
	PeerDeconfigured    Subcode = 3
	AdminReset          Subcode = 4
	ConnectionRejected  Subcode = 5
	ConfigChange        Subcode = 6
	CollisionResolution Subcode = 7
	OutOfResources      Subcode = 8
	HardReset           Subcode = 9
	LivenessLost        Subcode = 10
)

// Notification is at once an error and the last message of a session. The other side's operator sees all three fields.
type Notification struct {
	Code    Code
	Subcode Subcode
	Text    string // at most MaxNotificationText bytes of UTF-8, for people (RFC 9003)
}

var codeNames = map[Code]string{
	MessageHeaderError: "message header error",
	OpenMessageError:   "OPEN message error",
	UpdateMessageError: "UPDATE message error",
	HoldTimerExpired:   "hold timer expired", FSMError: "FSM error", Cease: "cease", RefreshError: "REFRESH message error",
	SendHoldExpired: "send hold timer expired",
}

var subcodeNames = map[Code]map[Subcode]string{
	MessageHeaderError: {BadMessageLength: "bad message length", BadMessageType: "bad message type"},
	OpenMessageError: {
		UnsupportedVersion: "unsupported version", BadPeerOrg: "bad peer organisation", BadNodeID: "bad node id",
		UnacceptableHoldTime: "unacceptable hold time",
		UnsupportedCapacity:  "unsupported capability",
		RoleMismatch:         "role mismatch",
	},
	UpdateMessageError: {MalformedAttributes: "malformed attributes", BadNodePath: "bad node path"},
	Cease: {
		MaxRoutesReached:    "maximum routes reached",
		AdminShutdown:       "administrative shutdown",
		PeerDeconfigured:    "peer de-configured",
		AdminReset:          "administrative reset",
		ConnectionRejected:  "connection rejected",
		ConfigChange:        "configuration change",
		CollisionResolution: "connection collision resolution", OutOfResources: "out of resources", HardReset: "hard reset",
		LivenessLost: "liveness lost",
	},
}

// Notify builds a notification; a longer text is cut at MaxNotificationText bytes, between characters.
func Notify(c Code, s Subcode, format string, args ...any) *Notification {
	text := fmt.Sprintf(format, args...)
	if len(text) > MaxNotificationText {
		cut := MaxNotificationText
		for cut > 0 && text[cut]&0xC0 == 0x80 {
			cut--
		}
		text = text[:cut]
	}
	return &Notification{Code: c, Subcode: s, Text: text}
}

// Error returns code, subcode and text in words: "cease: administrative shutdown: maintenance until noon".
func (n *Notification) Error() string {
	msg, ok := codeNames[n.Code]
	if !ok {
		msg = fmt.Sprintf("code %d", n.Code)
	}
	if n.Subcode != 0 {
		sub, ok := subcodeNames[n.Code][n.Subcode]
		if !ok {
			sub = fmt.Sprintf("subcode %d", n.Subcode)
		}
		msg += ": " + sub
	}
	if n.Text != "" {
		msg += ": " + n.Text
	}
	return msg
}
