package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
)

// counter counts each request that goes through its RoundTrippers, with its answer.
type counter struct {
	seed int64

	mu       sync.Mutex
	requests int
	answered map[string]int
	errors   int
	file     *os.File
	log      *bufio.Writer
}

// summary is what the storm prints.
type summary struct {
	Requests int            `json:"requests"`
	Answered map[string]int `json:"answered"`
	Errors   int            `json:"errors"`
	Seconds  float64        `json:"seconds"`
}

func newCounter(seed int64, logFile string) (*counter, error) {
	c := &counter{seed: seed, answered: map[string]int{}}
	if logFile == "" {
		return c, nil
	}
	file, err := os.Create(logFile)
	if err != nil {
		return nil, err
	}
	c.file, c.log = file, bufio.NewWriter(file)
	return c, nil
}

// wrap is a rest.Config's WrapTransport.
func (c *counter) wrap(next http.RoundTripper) http.RoundTripper {
	return &countingRoundTripper{counter: c, next: next}
}

func (c *counter) sent() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

func (c *counter) summary(seconds float64) summary {
	c.mu.Lock()
	defer c.mu.Unlock()
	return summary{c.requests, c.answered, c.errors, seconds}
}

// close writes out the log.
func (c *counter) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.log == nil {
		return nil
	}
	return errors.Join(c.log.Flush(), c.file.Close())
}

type countingRoundTripper struct {
	*counter
	next http.RoundTripper
}

// RoundTrip counts the request when its response head or an error is there.
func (c *countingRoundTripper) RoundTrip(request *http.Request) (*http.Response, error) {
	id := c.open()
	if c.log != nil {
		request = request.Clone(request.Context())
		request.Header.Set("Audit-ID", id)
	}
	response, err := c.next.RoundTrip(request)
	answer := "error"
	if err == nil {
		answer = fmt.Sprint(response.StatusCode)
	} else if cause := request.Context().Err(); cause != nil {
		answer = "cancelled"
	}
	c.answer(id, request, answer, err)
	return response, err
}

func (c *counter) open() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	return fmt.Sprintf("storm-%d-%d-%d", c.seed, os.Getpid(), c.requests)
}

func (c *counter) answer(id string, request *http.Request, answer string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.errors++
	} else {
		c.answered[request.Method+" "+answer]++
	}
	if c.log != nil {
		fmt.Fprintf(c.log, "%s\t%s\t%s\t%s\t%s\n", id, operationOf(request.Context()), request.Method, request.URL.RequestURI(), answer)
	}
}

type operationKey struct{}

// withOperation names the operation that the requests of this context belong to, for the log.
func withOperation(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, operationKey{}, name)
}

func operationOf(ctx context.Context) string {
	if name, ok := ctx.Value(operationKey{}).(string); ok {
		return name
	}
	return "-"
}
