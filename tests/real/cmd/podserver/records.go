package main

import (
	"bytes"
	"net"
	"sync"
	"time"
)

// record is what was seen of the upgraded connections of one subresource.
type record struct {
	Upgraded int64 `json:"upgraded"`
	Open     int64 `json:"open"`
	Received int64 `json:"received"`
	Sent     int64 `json:"sent"`
}

// records are by subresource.
type records struct {
	lock sync.Mutex
	by   map[string]*record
}

// of gives a subresource's record; the lock is held.
func (r *records) of(subresource string) *record {
	if r.by[subresource] == nil {
		r.by[subresource] = &record{}
	}
	return r.by[subresource]
}

func (r *records) opened(subresource string) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.of(subresource).Upgraded++
	r.of(subresource).Open++
}

func (r *records) closed(subresource string, received, sent int64) {
	r.lock.Lock()
	defer r.lock.Unlock()
	record := r.of(subresource)
	record.Open--
	record.Received += received
	record.Sent += sent
}

func (r *records) open() (open int64) {
	r.lock.Lock()
	defer r.lock.Unlock()
	for _, record := range r.by {
		open += record.Open
	}
	return open
}

func (r *records) waitUntilClosed(longest time.Duration) {
	for end := time.Now().Add(longest); r.open() > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
}

type recordingListener struct {
	net.Listener
	records *records
}

func (l *recordingListener) Accept() (net.Conn, error) {
	connection, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &recordingConn{Conn: connection, records: l.records}, nil
}

// recordingConn counts what passes behind the first head of each direction, if the answer is 101.
type recordingConn struct {
	net.Conn
	records  *records
	lock     sync.Mutex
	request  side
	response side
	upgraded bool
	closed   sync.Once
}

// side is one direction: its first head, until that is complete, and the bytes behind it.
type side struct {
	head     []byte
	complete bool
	bytes    int64
}

func (s *side) add(piece []byte) {
	if s.complete {
		s.bytes += int64(len(piece))
		return
	}
	s.head = append(s.head, piece...)
	if end := bytes.Index(s.head, []byte("\r\n\r\n")); end >= 0 {
		s.complete = true
		s.bytes = int64(len(s.head) - end - 4)
		s.head = s.head[:end]
	}
}

// subresource is the last part of a request head's path.
func (s *side) subresource() string {
	words := bytes.SplitN(s.head, []byte(" "), 3)
	if len(words) < 2 {
		return ""
	}
	path, _, _ := bytes.Cut(words[1], []byte("?"))
	return string(path[bytes.LastIndexByte(path, '/')+1:])
}

func (c *recordingConn) Read(buffer []byte) (int, error) {
	length, err := c.Conn.Read(buffer)
	c.lock.Lock()
	defer c.lock.Unlock()
	c.request.add(buffer[:length])
	return length, err
}

func (c *recordingConn) Write(piece []byte) (int, error) {
	c.lock.Lock()
	c.response.add(piece)
	if c.response.complete && !c.upgraded && bytes.HasPrefix(c.response.head, []byte("HTTP/1.1 101 ")) {
		c.upgraded = true
		c.records.opened(c.request.subresource())
	}
	c.lock.Unlock()
	return c.Conn.Write(piece)
}

func (c *recordingConn) Close() error {
	err := c.Conn.Close()
	c.closed.Do(func() {
		c.lock.Lock()
		defer c.lock.Unlock()
		if c.upgraded {
			c.records.closed(c.request.subresource(), c.request.bytes, c.response.bytes)
		}
	})
	return err
}
