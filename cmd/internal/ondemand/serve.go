package ondemand

import (
	"context"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/catalyst-router/catalyst/xds"
)

// Register has Envoys ask on the connections by which they are configured: a gRPC method without a message, since the
// filter that asks has no protobuf. What it has to say stands in headers.
func (r *Room) Register(s grpc.ServiceRegistrar) {
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: xds.AskService,
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{
			MethodName: xds.AskMethod,
			Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				if err := decode(new(emptypb.Empty)); err != nil {
					return nil, err
				}
				return new(emptypb.Empty), r.serve(ctx)
			},
		}},
	}, r)
}

func (r *Room) serve(ctx context.Context) error {
	seat, err := r.envoys.Caller(ctx)
	if err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(ctx)
	name := first(md, xds.ServiceHeader)
	if first(md, xds.AskUsed) != "" {
		r.told(seat, name)
		return nil
	}
	round, err := strconv.Atoi(first(md, xds.AskRound))
	if err != nil || round < 1 {
		round = 1
	}
	return r.ask(ctx, seat, name, round)
}

func first(md metadata.MD, key string) string {
	if all := md.Get(key); len(all) > 0 {
		return all[0]
	}
	return ""
}
