package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"
	remotecommandconsts "k8s.io/apimachinery/pkg/util/remotecommand"
	client "k8s.io/client-go/tools/remotecommand"
	"k8s.io/kubelet/pkg/cri/streaming/portforward"
	"k8s.io/kubelet/pkg/cri/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

const (
	idleTimeout     = time.Hour
	creationTimeout = 30 * time.Second
)

// Ports of the pod.
const (
	portEcho     = 7
	portChecksum = 8
)

// kubeletHandler has the paths that kube-apiserver asks a kubelet for.
func kubeletHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/exec/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		options, err := remotecommand.NewOptions(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		remotecommand.ServeExec(w, r, container{}, "p", "", "c", r.URL.Query()["command"], options,
			idleTimeout, creationTimeout, remotecommandconsts.SupportedStreamingProtocols)
	})
	mux.HandleFunc("/attach/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		options, err := remotecommand.NewOptions(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		remotecommand.ServeAttach(w, r, container{}, "p", "", "c", options,
			idleTimeout, creationTimeout, remotecommandconsts.SupportedStreamingProtocols)
	})
	mux.HandleFunc("/portForward/{namespace}/{pod}", func(w http.ResponseWriter, r *http.Request) {
		options, err := portforward.NewV4Options(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		portforward.ServePortForward(w, r, container{}, "p", "", options,
			idleTimeout, creationTimeout, portforward.SupportedProtocols)
	})
	return mux
}

// container does what a command says, without one.
type container struct{}

func (container) ExecInContainer(ctx context.Context, _ string, _ types.UID, _ string, command []string, in io.Reader, out, err io.WriteCloser, tty bool, resize <-chan client.TerminalSize, _ time.Duration) error {
	switch command[0] {
	case "cat":
		_, failed := io.Copy(out, in)
		return failed
	case "sha256sum": // says nothing before its input ended
		return checksum(in, out)
	case "both": // speaks first, on both outputs
		fmt.Fprintln(out, "to stdout")
		fmt.Fprintln(err, "to stderr")
		return nil
	case "size":
		size := <-resize
		fmt.Fprintf(out, "%dx%d tty %t", size.Width, size.Height, tty)
		return nil
	case "exit":
		code, failed := strconv.Atoi(command[1])
		if failed != nil {
			return failed
		}
		return utilexec.CodeExitError{Err: errors.New("exit"), Code: code}
	}
	return fmt.Errorf("no command %q", command[0])
}

func (c container) AttachContainer(ctx context.Context, name string, uid types.UID, id string, in io.Reader, out, err io.WriteCloser, tty bool, resize <-chan client.TerminalSize) error {
	return c.ExecInContainer(ctx, name, uid, id, []string{"cat"}, in, out, err, tty, resize, 0)
}

func (container) PortForward(_ context.Context, _ string, _ types.UID, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	switch port {
	case portEcho:
		_, err := io.Copy(stream, stream)
		return err
	case portChecksum:
		return checksum(stream, stream)
	}
	// The pod's loopback address is this machine's.
	to, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer to.Close()
	go func() {
		io.Copy(to, stream)
		to.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, to)
	return err
}

func checksum(in io.Reader, out io.Writer) error {
	sum := sha256.New()
	length, err := io.Copy(sum, in)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%d bytes %x", length, sum.Sum(nil))
	return err
}
