// Command coredns is CoreDNS with its plugins file and bind alone, to compare with.
package main

import (
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/file"
)

func main() { coremain.Run() }
