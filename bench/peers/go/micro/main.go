// SPDX-License-Identifier: Apache-2.0

// go-micro measures what Go's scheduler itself costs on one processor: the measurements
// of rill-micro, by the same names, printed as one JSON object.
package main

import (
	"flag"
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const batch = 1000

func yieldWith(tasks int) func(int) {
	return func(count int) {
		var all sync.WaitGroup
		all.Add(tasks)
		for i := 0; i < tasks; i++ {
			go func() {
				for j := 0; j < count/tasks; j++ {
					runtime.Gosched()
				}
				all.Done()
			}()
		}
		all.Wait()
	}
}

func spawnJoin(size int) func(int) {
	return func(count int) {
		var all sync.WaitGroup
		for i := 0; i < count/size; i++ {
			all.Add(size)
			for j := 0; j < size; j++ {
				go func() { all.Done() }()
			}
			all.Wait()
		}
	}
}

// Two goroutines wake each other in turn.
func pingPong(count int) {
	there, back := make(chan struct{}), make(chan struct{})
	go func() {
		for range there {
			back <- struct{}{}
		}
	}()
	for i := 0; i < count/2; i++ {
		there <- struct{}{}
		<-back
	}
	close(there)
}

func oneshots(count int) {
	for i := 0; i < count; i++ {
		channel := make(chan int, 1)
		channel <- i
		<-channel
	}
}

func messages(count int) {
	channel := make(chan int, 256)
	go func() {
		for i := 0; i < count; i++ {
			channel <- i
		}
		close(channel)
	}()
	for range channel {
	}
}

// Two goroutines send each other messages in turn, through channels of one place.
func channelSwitch(count int) {
	there, back := make(chan int, 1), make(chan int, 1)
	go func() {
		for message := range there {
			back <- message
		}
	}()
	for i := 0; i < count/2; i++ {
		there <- i
		<-back
	}
	close(there)
}

// As a timeout is used: armed, and cancelled before it fires.
func armAndCancel(count int) {
	for i := 0; i < count; i++ {
		time.AfterFunc(5*time.Second+time.Duration(i&1023)*time.Millisecond, func() {}).Stop()
	}
}

func sleepAndFire(count int) {
	var all sync.WaitGroup
	all.Add(count)
	for i := 0; i < count; i++ {
		delay := time.Duration(rand.Intn(10_000_000))
		go func() {
			time.Sleep(delay)
			all.Done()
		}()
	}
	all.Wait()
}

// The CPU time of all threads of the process so far.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func residentBytes() float64 {
	text, _ := os.ReadFile("/proc/self/statm")
	pages, _ := strconv.ParseFloat(strings.Fields(string(text))[1], 64)
	return pages * 4096
}

var lines []string

func add(key, unit string, values []float64) {
	sort.Float64s(values)
	lines = append(lines, fmt.Sprintf(`"%s":{"unit":"%s","median":%.2f,"min":%.2f,"max":%.2f}`,
		key, unit, values[len(values)/2], values[0], values[len(values)-1]))
}

func main() {
	rounds := flag.Int("rounds", 11, "rounds of each measurement")
	divide := flag.Int("divide", 1, "the operations in a round are divided by that")
	flag.Parse()
	runtime.GOMAXPROCS(1)

	// Times run, which does count operations, over several rounds after one that does
	// not count.
	measureBy := func(now func() time.Duration, key string, count int, run func(int)) {
		var values []float64
		run(count)
		for i := 0; i < *rounds; i++ {
			begin := now()
			run(count)
			values = append(values, float64(now()-begin)/float64(count))
		}
		add(key, "ns", values)
	}
	start := time.Now()
	wallTime := func() time.Duration { return time.Since(start) }
	measure := func(key string, count int, run func(int)) {
		measureBy(wallTime, key, count / *divide, run)
	}
	sleepers := func(count int) {
		for i := 0; i < count; i++ {
			go func() { time.Sleep(1000*time.Second + time.Duration(rand.Intn(600))*time.Second) }()
		}
		time.Sleep(100 * time.Millisecond) // all of them have begun to sleep by then
	}

	measure("yield", 1_000_000, yieldWith(batch))
	measure("yield_alone", 1_000_000, yieldWith(1))
	measure("spawn_join", 1_000_000, spawnJoin(batch))
	measure("spawn_join_alone", 1_000_000, spawnJoin(1))
	measure("switch", 1_000_000, pingPong)
	measure("oneshot", 1_000_000, oneshots)
	measure("mpsc", 1_000_000, messages)
	measure("channel_switch", 1_000_000, channelSwitch)
	measure("sleep_cancel_0", 1_000_000, armAndCancel)
	// Most of a round is waiting, which is nobody's cost; and its length does not depend on
	// how many wait, so there are as many of them in all programs.
	measureBy(cpuTime, "sleep", 100_000, sleepAndFire)
	sleepers(100_000)
	measure("sleep_cancel_100k", 1_000_000, armAndCancel)
	before := residentBytes()
	sleepers(900_000)
	add("sleeping_task", "bytes", []float64{(residentBytes() - before) / 900_000})
	measure("sleep_cancel_1m", 1_000_000, armAndCancel)
	fmt.Printf("{\"rounds\":%d,%s}\n", *rounds, strings.Join(lines, ","))
}
