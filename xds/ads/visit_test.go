package ads

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// A connection of an Envoy elsewhere ends with the certificate that was shown on it, whatever streams it has; one on
// the Unix socket shows none and stays.
func TestAConnectionEndsWithItsCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		tlsInfo := credentials.TLSInfo{State: tls.ConnectionState{PeerCertificates: []*x509.Certificate{
			{NotAfter: began.Add(time.Hour)}}}}
		for _, tt := range []struct {
			info credentials.AuthInfo
			want time.Duration
		}{{tlsInfo, time.Hour}, {nil, 24 * time.Hour}} {
			v := &visit{Server: NewServer(Config{Log: slog.New(slog.DiscardHandler)}), leave: make(chan struct{}, 1),
				shown: make(chan time.Time, 1)}
			ctx := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: tt.info})
			done, stop := context.WithTimeout(t.Context(), 24*time.Hour)
			var all sync.WaitGroup
			begins := time.Now()
			all.Go(func() {
				if v.wait(done.Done()) {
					t.Error("its streams may not end by themselves")
				}
			})
			v.certificate(ctx)
			v.certificate(ctx) // a second stream
			all.Wait()
			stop()
			if took := time.Since(begins); took != tt.want {
				t.Errorf("%v: it ended after %s, want %s", tt.info, took, tt.want)
			}
		}
	})
}
