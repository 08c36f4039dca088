// SPDX-License-Identifier: Apache-2.0

// go-echo is an echo server on Go's runtime, a goroutine for each connection.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	chunkSize     = 16 * 1024
	tcpCongestion = 13 // TCP_CONGESTION, which package syscall does not name
)

func echo(connection net.Conn, limit time.Duration) {
	defer connection.Close()
	buffer := make([]byte, chunkSize)
	for {
		if limit > 0 {
			connection.SetReadDeadline(time.Now().Add(limit))
		}
		length, err := connection.Read(buffer)
		if err != nil {
			return
		}
		if _, err = connection.Write(buffer[:length]); err != nil {
			return
		}
	}
}

// A room sends what one connection sends to all of them.
type room struct {
	lock    sync.Mutex
	members map[chan []byte]struct{}
}

func (room *room) send(message []byte) {
	room.lock.Lock()
	defer room.lock.Unlock()
	for member := range room.members {
		member <- message
	}
}

func (room *room) serve(connection net.Conn) {
	defer connection.Close()
	messages := make(chan []byte, 1024)
	room.lock.Lock()
	room.members[messages] = struct{}{}
	room.lock.Unlock()
	go func() {
		for message := range messages {
			if _, err := connection.Write(message); err != nil {
				connection.Close() // and go on taking messages until the reader has left
			}
		}
	}()
	buffer := make([]byte, chunkSize)
	for {
		length, err := connection.Read(buffer)
		if err != nil {
			break
		}
		room.send(append([]byte(nil), buffer[:length]...))
	}
	room.lock.Lock()
	delete(room.members, messages)
	room.lock.Unlock()
	close(messages)
}

func listen(url, congestion string) (net.Listener, error) {
	network, address, found := strings.Cut(url, "://")
	if !found || network != "tcp" && network != "unix" {
		return nil, fmt.Errorf("%s: want tcp://127.0.0.1:7000 or unix:///run/echo.sock", url)
	}
	config := net.ListenConfig{KeepAlive: -1} // three calls a connection, which nobody else makes
	if network == "tcp" && congestion != "" {
		config.Control = func(_, _ string, raw syscall.RawConn) error {
			var failed error
			err := raw.Control(func(fd uintptr) {
				failed = syscall.SetsockoptString(int(fd), syscall.IPPROTO_TCP, tcpCongestion, congestion)
			})
			if err != nil {
				return err
			}
			return failed
		}
	}
	return config.Listen(context.Background(), network, address)
}

func main() {
	congestion := flag.String("congestion", "", "congestion control, such as cubic")
	seconds := flag.Float64("timeout", 0, "close a connection that is silent for so many seconds")
	broadcast := flag.Bool("broadcast", false, "send what one connection sends to all of them")
	flag.CommandLine.Parse(os.Args[2:])

	listener, err := listen(os.Args[1], *congestion)
	if err != nil {
		fmt.Fprintln(os.Stderr, "go-echo:", err)
		os.Exit(1)
	}
	address := listener.Addr()
	fmt.Printf("listening on %s://%s\n", address.Network(), address)
	limit := time.Duration(*seconds * float64(time.Second))
	everybody := room{members: map[chan []byte]struct{}{}}
	for {
		connection, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, "go-echo:", err)
			os.Exit(1)
		}
		if *broadcast {
			go everybody.serve(connection)
		} else {
			go echo(connection, limit)
		}
	}
}
