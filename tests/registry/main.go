// A registry of images for the tests: the one of go-containerregistry, with its blobs in a folder.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: registry ADDRESS FOLDER")
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	quiet := registry.Logger(log.New(os.Stderr, "", 0))
	log.Fatal(http.Serve(listener, registry.New(registry.WithBlobHandler(registry.NewDiskBlobHandler(os.Args[2])), quiet)))
}
