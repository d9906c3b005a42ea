#ifndef NET_NOTIFY_H
#define NET_NOTIFY_H

/* Telling the service manager how we are: the datagrams of sd_notify(3), which both systemd and
 * start-stop-daemon --notify-await read. Without $NOTIFY_SOCKET it does nothing. Called by main. */

#include <stdbool.h>

/* Send one message of newline-separated assignments ("READY=1\nSTATUS=..."). False: there is a
 * socket, and it did not take the message; errno says why. Waits while the manager's queue is full:
 * a lost READY=1 would have it stop us. */
bool notify_send(const char *message);

#endif /* NET_NOTIFY_H */
