#ifndef MAIN_LIBEVENT_H
#define MAIN_LIBEVENT_H

/* libevent, as this program uses it. Called by main.c and daemon.c.
 *
 * What it has to say of its own: a name server that does not answer, an accept() that failed.
 * Unasked, it writes that to stderr, as often as it happens and in the background to nobody. */

struct event_base;
struct log;

/* From now on it is the event `libevent` of this log, and limited as any other. NULL: it is not
 * written at all. libevent keeps one such place for the whole process, and so does this. */
void libevent_log(struct log *log);

/* A loop that comes back to its sockets soon. NULL: no memory, or no descriptor (errno). */
struct event_base *libevent_new_base(void);

#endif /* MAIN_LIBEVENT_H */
