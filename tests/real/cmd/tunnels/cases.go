package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
)

// tried is a case: what it says must be the same directly and through a proxy.
type tried struct {
	name string
	run  func(ctx context.Context, config *rest.Config) string
}

// input is longer than any buffer on the way.
var input = strings.Repeat("0123456789abcdef", 64<<10)

func cases() []tried {
	var all []tried
	for _, kind := range echoes {
		all = append(all, tried{kind.name + " echo", func(ctx context.Context, config *rest.Config) string {
			return said(kind.run(ctx, config, func() {}))
		}})
	}
	all = append(all, execCases("exec spdy", newSPDY)...)
	all = append(all, execCases("exec websocket", newWebSocket)...)
	all = append(all, forwardCases("portforward spdy", dialSPDY)...)
	all = append(all, forwardCases("portforward websocket", dialWebSocket)...)
	return append(all,
		tried{"vnc", func(ctx context.Context, config *rest.Config) string {
			connection, response, err := dialConsole(ctx, config, "vnc", "plain.kubevirt.io")
			if err != nil {
				return said(err)
			}
			defer connection.Close()
			_, banner, err := connection.ReadMessage()
			return fmt.Sprintf("%s, %s, %q, %v", response.Status, connection.Subprotocol(), banner, err)
		}},
		tried{"an upgrade of a path that has none", func(ctx context.Context, config *rest.Config) string {
			_, response, err := dialConsole(ctx, config, "nothing", "plain.kubevirt.io")
			if response == nil {
				return said(err)
			}
			body, _ := io.ReadAll(response.Body)
			return fmt.Sprintf("%v: %s %q", err, response.Status, body)
		}},
		tried{"no upgrade where one is needed", func(ctx context.Context, config *rest.Config) string {
			client, err := rest.HTTPClientFor(config)
			if err != nil {
				return said(err)
			}
			response, err := client.Get(podOptions{subresource: "exec", command: []string{"cat"}, stdout: true}.url(config).String())
			if err != nil {
				return said(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			return fmt.Sprintf("%s %q %v %s", response.Status, body, err, response.Header.Get("Content-Type"))
		}})
}

func execCases(name string, make executor) []tried {
	run := func(options podOptions, stdin io.Reader, size *remotecommand.TerminalSize) func(context.Context, *rest.Config) string {
		options.subresource = "exec"
		options.stdin, options.stdout = stdin != nil, true
		options.stderr = !options.tty
		return func(ctx context.Context, config *rest.Config) string {
			exec, err := make(config, options)
			if err != nil {
				return said(err)
			}
			var stdout, stderr bytes.Buffer
			streams := remotecommand.StreamOptions{Stdin: stdin, Stdout: &stdout, Tty: options.tty}
			if options.stderr {
				streams.Stderr = &stderr
			}
			if size != nil {
				streams.TerminalSizeQueue = &once{size}
			}
			err = exec.StreamWithContext(ctx, streams)
			return fmt.Sprintf("%s, stdout %q, stderr %q", said(err), stdout.String(), stderr.String())
		}
	}
	return []tried{
		{name + ", end of input answered", run(podOptions{command: []string{"sha256sum"}}, strings.NewReader(input), nil)},
		{name + ", server speaks first", run(podOptions{command: []string{"both"}}, nil, nil)},
		{name + ", exit code", run(podOptions{command: []string{"exit", "3"}}, nil, nil)},
		{name + ", no such command", run(podOptions{command: []string{"none"}}, nil, nil)},
		{name + ", terminal", run(podOptions{command: []string{"size"}, tty: true}, strings.NewReader(""), &remotecommand.TerminalSize{Width: 80, Height: 25})},
		{name + ", forbidden", run(podOptions{pod: "forbidden", command: []string{"cat"}}, nil, nil)},
		{name + ", missing", run(podOptions{pod: "missing", command: []string{"cat"}}, nil, nil)},
	}
}

// once is a terminal that never changes its size.
type once struct{ size *remotecommand.TerminalSize }

func (o *once) Next() *remotecommand.TerminalSize {
	size := o.size
	o.size = nil
	return size
}

func forwardCases(name string, dial dialer) []tried {
	send := func(port int) func(context.Context, *rest.Config) string {
		return func(_ context.Context, config *rest.Config) string {
			var answer []byte
			err := forward(config, dial, port, func(connection *net.TCPConn) error {
				_, err := io.Copy(connection, strings.NewReader(input))
				if err == nil {
					err = connection.CloseWrite()
				}
				if err == nil {
					answer, err = io.ReadAll(connection)
				}
				return err
			})
			if port == portNobody {
				return fmt.Sprintf("fails %t, answer %q", err != nil, answer)
			}
			return fmt.Sprintf("%s, answer %q", said(err), answer)
		}
	}
	refused := func(pod string) func(context.Context, *rest.Config) string {
		return func(_ context.Context, config *rest.Config) string {
			dialer, err := dial(config, podOptions{pod: pod, subresource: "portforward"})
			if err == nil {
				_, _, err = dialer.Dial("portforward.k8s.io")
			}
			return said(err)
		}
	}
	return []tried{
		{name + ", end of input answered", send(portChecksum)},
		{name + ", nobody listens", send(portNobody)},
		{name + ", forbidden", refused("forbidden")},
		{name + ", missing", refused("missing")},
	}
}

// port is what differs from run to run in an error's text.
var port = regexp.MustCompile(`127\.0\.0\.1:\d+`)

func said(err error) string {
	if err == nil {
		return "ok"
	}
	return port.ReplaceAllString(fmt.Sprintf("%T %v", err, err), "SERVER")
}
