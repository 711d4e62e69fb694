// Package session keeps what a server knows of client sessions beside the
// replicated table of them: how their ids and passwords are made, when they
// expire ([Tracker], on a leader or a server alone), who serves them, and
// which of them a learner has heard from ([Touches]).
//
// A session is a client's identity; it outlives connections and ends when its
// client has not been heard of for its timeout. Time is handed in as
// milliseconds of a clock that never goes back; nothing here runs by itself.
//
// Source: SessionTrackerImpl.java, ExpiryQueue.java, ZooKeeperServer.java,
// LearnerSessionTracker.java.
package session
