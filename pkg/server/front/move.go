package front

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// Move makes the port listen at another address. Connections stay as they are. When
// the address cannot be had the port stays where it is. Move is not to be called
// twice at a time.
func (s *Server) Move(ctx context.Context, addr string) error {
	cfg := s.cfg
	cfg.Addr = addr
	fresh, err := listen(ctx, cfg)
	if errors.Is(err, syscall.EADDRINUSE) { // perhaps by ourselves: all addresses of the port, or one of them
		return s.takeOver(ctx, cfg)
	}
	if err != nil {
		return err
	}
	s.exchange(fresh)
	return nil
}

// takeOver closes the old port before it opens the new one.
func (s *Server) takeOver(ctx context.Context, cfg Config) error {
	was := cfg
	was.Addr = s.Addr().String()
	s.mu.Lock()
	s.move = make(chan struct{})
	_ = s.ln.Close()
	s.mu.Unlock()
	fresh, err := listen(ctx, cfg)
	if err != nil {
		var back error
		if fresh, back = listen(ctx, was); back != nil {
			s.exchange(s.listener()) // which is closed
			return errors.Join(err, back)
		}
	}
	s.exchange(fresh)
	return err
}

// exchange puts a listener in place of the present one, and closes that.
func (s *Server) exchange(fresh net.Listener) {
	s.mu.Lock()
	old := s.ln
	s.ln = fresh
	if s.over {
		_ = fresh.Close()
	}
	if s.move != nil {
		close(s.move)
		s.move = nil
	}
	s.mu.Unlock()
	_ = old.Close()
}

// moved tells whether another listener has taken the place of ln, which is closed; it
// waits for one that is about to.
func (s *Server) moved(ctx context.Context, ln net.Listener) bool {
	s.mu.Lock()
	move := s.move
	s.mu.Unlock()
	if move != nil {
		select {
		case <-move:
		case <-ctx.Done():
		}
	}
	return s.listener() != ln
}

func (s *Server) listener() net.Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ln
}

// leave closes the port for good.
func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	_ = s.ln.Close()
}
