package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"

	"github.com/gorilla/websocket"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
)

// echo is a kind of tunnel whose far end sends back what it gets. It calls opened once something
// came back, and then sends once more.
type echo struct {
	name string
	run  func(ctx context.Context, config *rest.Config, opened func()) error
}

var echoes = []echo{
	{"exec spdy", execEcho(newSPDY, "exec", "cat")},
	{"exec websocket", execEcho(newWebSocket, "exec", "cat")},
	{"attach spdy", execEcho(newSPDY, "attach", "")},
	{"attach websocket", execEcho(newWebSocket, "attach", "")},
	{"portforward spdy", forwardEcho(dialSPDY)},
	{"portforward websocket", forwardEcho(dialWebSocket)},
	{"console", consoleEcho},
}

func execEcho(make executor, subresource, command string) func(context.Context, *rest.Config, func()) error {
	return func(ctx context.Context, config *rest.Config, opened func()) error {
		options := podOptions{subresource: subresource, stdin: true, stdout: true}
		if command != "" {
			options.command = []string{command}
		}
		exec, err := make(config, options)
		if err != nil {
			return err
		}
		ours, stdin := pipe()
		stdout, theirs := pipe()
		failed := exchange(struct {
			io.Reader
			io.WriteCloser
		}{stdout, stdin}, opened)
		err = exec.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: ours, Stdout: theirs})
		theirs.Close()
		ours.Close()
		if said := <-failed; said != nil {
			return said
		}
		return err
	}
}

func pipe() (*io.PipeReader, *io.PipeWriter) { return io.Pipe() }

func forwardEcho(dial dialer) func(context.Context, *rest.Config, func()) error {
	return func(ctx context.Context, config *rest.Config, opened func()) error {
		return forward(config, dial, portEcho, func(connection *net.TCPConn) error {
			return <-exchange(halfCloser{connection}, opened)
		})
	}
}

// halfCloser is a connection of which Close ends the writing only.
type halfCloser struct{ *net.TCPConn }

func (h halfCloser) Close() error { return h.CloseWrite() }

// exchange sends, awaits the echo, sends again, ends the writing and awaits the rest.
func exchange(stream io.ReadWriteCloser, opened func()) <-chan error {
	outcome := make(chan error, 1)
	go func() {
		outcome <- func() error {
			defer stream.Close()
			first, second := []byte("first"), bytes.Repeat([]byte("second "), 1000)
			for _, message := range [][]byte{first, second} {
				go stream.Write(message)
				got := make([]byte, len(message))
				if _, err := io.ReadFull(stream, got); err != nil {
					return fmt.Errorf("no echo: %w", err)
				}
				if !bytes.Equal(got, message) {
					return fmt.Errorf("another echo of %d bytes", len(got))
				}
				opened()
			}
			stream.Close()
			rest, err := io.ReadAll(stream)
			if err == nil && len(rest) > 0 {
				return fmt.Errorf("%d bytes too many", len(rest))
			}
			return err
		}()
	}()
	return outcome
}

func consoleEcho(ctx context.Context, config *rest.Config, opened func()) error {
	connection, response, err := dialConsole(ctx, config, "console", "plain.kubevirt.io")
	if err != nil {
		return fmt.Errorf("%w (%v)", err, response)
	}
	defer connection.Close()
	if _, banner, err := connection.ReadMessage(); err != nil || string(banner) != "console of vmi" {
		return fmt.Errorf("banner %q: %w", banner, err)
	}
	opened()
	message := bytes.Repeat([]byte("key"), 1000)
	if err := connection.WriteMessage(websocket.BinaryMessage, message); err != nil {
		return err
	}
	_, got, err := connection.ReadMessage()
	if err == nil && !bytes.Equal(got, message) {
		return fmt.Errorf("another echo of %d bytes", len(got))
	}
	return err
}

// forward runs client-go's port forwarder and connects to it once.
func forward(config *rest.Config, dial dialer, port int, use func(*net.TCPConn) error) error {
	dialer, err := dial(config, podOptions{subresource: "portforward"})
	if err != nil {
		return err
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	var errors bytes.Buffer
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"},
		[]string{fmt.Sprintf("0:%d", port)}, stop, ready, io.Discard, &errors)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case err := <-ended:
		return err
	case <-ready:
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return err
	}
	connection, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(ports[0].Local)})
	if err != nil {
		return err
	}
	err = use(connection)
	connection.Close()
	close(stop)
	if ending := <-ended; err == nil {
		err = ending
	}
	return err
}
