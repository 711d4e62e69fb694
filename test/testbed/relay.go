package testbed

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Shape is what a slow or lossy link does to each frame. The zero value is a
// perfect link.
type Shape struct {
	Delay  time.Duration // one way; a round trip takes twice as long
	Jitter time.Duration // Delay varies by up to as much, both ways; order is kept
	Loss   float64       // the share of frames that are lost, 0..1
}

// Shape makes both directions between two nodes slow or lossy, until
// [Testbed.Heal] or the zero Shape.
func (tb *Testbed) Shape(ctx context.Context, a, b string, s Shape) error {
	if s.Delay < 0 || s.Jitter < 0 || s.Loss < 0 || s.Loss > 1 {
		return fmt.Errorf("testbed: shape %+v: want times of at least 0 and a loss of 0 to 1", s)
	}
	l, err := tb.link(a, b)
	if err != nil {
		return err
	}
	for _, l := range []link{l, l.back()} {
		if err := tb.net.shape(ctx, l, s); err != nil {
			return fmt.Errorf("testbed: shape %s-%s: %w", a, b, err)
		}
	}
	return nil
}

// A relay carries the frames of one direction through user space, late or not
// at all: kernels without netem can do neither.
type relay struct {
	tap  *os.File // frames the switch redirects here
	out  int      // packet socket
	port string   // of the receiver; a new device after each of its boots

	mu    sync.Mutex
	shape Shape

	queue chan lateFrame
	ended sync.WaitGroup
}

type lateFrame struct {
	due   time.Time
	bytes []byte
}

const (
	queuedFrames = 10000 // more than that are lost
	frameSize    = 65536
)

func tapName(l link) string { return fmt.Sprintf("t%d_%d", l.from, l.to) }

// shape starts, changes or ends the relay of one direction.
func (n *network) shape(ctx context.Context, l link, s Shape) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.relays[l]
	switch {
	case s == Shape{}:
		return n.endRelay(ctx, l)
	case r != nil:
		r.mu.Lock()
		defer r.mu.Unlock()
		r.shape = s
		return nil
	}
	r, err := n.newRelay(ctx, l, s)
	if err != nil {
		return err
	}
	n.relays[l] = r
	return n.addFilter(ctx, l, relayFilter)
}

// endRelay ends the relay of one direction; without one it does nothing.
func (n *network) endRelay(ctx context.Context, l link) error {
	r := n.relays[l]
	if r == nil {
		return nil
	}
	delete(n.relays, l)
	err := n.delFilter(ctx, l, relayFilter)
	return errors.Join(err, r.close())
}

func (n *network) newRelay(ctx context.Context, l link, s Shape) (*relay, error) {
	r := &relay{port: portName(l.to), shape: s, queue: make(chan lateFrame, queuedFrames)}
	err := n.sw.do(func() error { // devices and sockets belong to the namespace they are made in
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		if err := setTap(fd, tapName(l)); err != nil {
			return errors.Join(err, unix.Close(fd))
		}
		r.out, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return errors.Join(err, unix.Close(fd))
		}
		r.tap = os.NewFile(uintptr(fd), tapName(l))
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.ended.Go(r.read)
	r.ended.Go(r.send)
	err = n.sw.batch(ctx, "ip", fmt.Sprintf("link set %s txqueuelen %d up", tapName(l), queuedFrames))
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func setTap(fd int, name string) error {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return fmt.Errorf("make the device %s: %w", name, err)
	}
	return nil
}

func (r *relay) close() error {
	err := r.tap.Close() // ends read, which ends send
	r.ended.Wait()
	return errors.Join(err, unix.Close(r.out))
}

// read takes frames in and decides what becomes of each.
func (r *relay) read() {
	defer close(r.queue)
	buf := make([]byte, frameSize)
	var last time.Time
	for {
		size, err := r.tap.Read(buf)
		if err != nil {
			return
		}
		r.mu.Lock()
		s := r.shape
		r.mu.Unlock()
		if rand.Float64() < s.Loss {
			continue
		}
		due := time.Now().Add(s.Delay)
		if s.Jitter > 0 {
			due = due.Add(rand.N(2*s.Jitter) - s.Jitter)
		}
		if due.Before(last) {
			due = last
		}
		last = due
		select {
		case r.queue <- lateFrame{due, append([]byte(nil), buf[:size]...)}:
		default:
		}
	}
}

// send delivers each frame when it is due, in order.
func (r *relay) send() {
	index := 0
	for frame := range r.queue {
		time.Sleep(time.Until(frame.due))
		for range 2 { // the second time after a look at which device the port is now
			if index == 0 {
				index = r.portIndex()
			}
			if index != 0 && unix.Sendto(r.out, frame.bytes, 0, &unix.SockaddrLinklayer{Ifindex: index}) == nil {
				break
			}
			index = 0
		}
	}
}

// portIndex returns the receiver's device number; 0 when it is unplugged.
func (r *relay) portIndex() int {
	request, err := unix.NewIfreq(r.port)
	if err != nil {
		return 0
	}
	if err := unix.IoctlIfreq(r.out, unix.SIOCGIFINDEX, request); err != nil {
		return 0
	}
	return int(request.Uint32())
}
