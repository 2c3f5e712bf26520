package gateway

import (
	"net/http"
)

// Uploads bounds GraphQL multipart requests (https://github.com/jaydenseric/graphql-multipart-request-spec).
type Uploads struct {
	// Off refuses them.
	Off bool
	// MaxFiles of a request. Zero means 10.
	MaxFiles int
	// MaxBytes of all files of a request together. Zero means 64 MiB.
	MaxBytes int64
}

func (u Uploads) withDefaults() Uploads {
	u.MaxFiles = or(u.MaxFiles, 10)
	u.MaxBytes = or(u.MaxBytes, 64<<20)
	return u
}

func (g *Gateway) fromForm(_ http.ResponseWriter, _ *http.Request, _ string) ([]params, bool, *failure) {
	return nil, false, refuse(http.StatusUnsupportedMediaType, CodeMediaType, "Uploads are not supported.")
}

func dropUploads([]params) {}
