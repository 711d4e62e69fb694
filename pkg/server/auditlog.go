package server

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"

	"github.com/zkctl/zkctl/pkg/server/audit"
)

// slf4jAuditLogger is the one class of audit.impl.class that stands for something
// here: what Apache takes when nothing is said.
const slf4jAuditLogger = "org.apache.zookeeper.audit.Slf4jAuditLogger"

// openAudit opens the audit log, if there is to be one (audit.enable): the file
// that auditlog.file names, or the server's own log. end tells it how the server
// came to its end, and closes it.
func (s *Server) openAudit() (end func(started bool), err error) {
	c := s.cfg
	if !c.AuditEnabled {
		return func(bool) {}, nil
	}
	if c.AuditClass != "" && c.AuditClass != slf4jAuditLogger {
		return nil, fmt.Errorf("audit.impl.class=%s names a Java class, and none can be loaded here: remove the line, and let auditlog.file name a file, or turn audit.enable off", c.AuditClass)
	}
	s.auditUser = userName()
	closeFile := func() error { return nil }
	if c.AuditFile == "" {
		s.audit = audit.ToLogger(s.log)
	} else {
		path := c.AuditFile
		if !filepath.IsAbs(path) {
			path = filepath.Join(c.DataLogDir, path)
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
		if err != nil {
			return nil, fmt.Errorf("auditlog.file: %w", err)
		}
		s.audit, closeFile = audit.ToWriter(f, s.log), f.Close
	}
	s.log.Info("audit log", "file", c.AuditFile)
	return func(started bool) {
		last := audit.Event{User: s.auditUser, Operation: audit.ServerStop, Result: audit.Invoked}
		if !started {
			last.Operation, last.Result = audit.ServerStart, audit.Failure
		}
		s.audit.Write(last)
		s.audit.Close()
		if err := closeFile(); err != nil {
			s.log.Error("the audit log may lack its last lines", "err", err)
		}
	}, nil
}

// userName is whom the audit log names for what the server does by itself.
func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprint(os.Getuid())
}
