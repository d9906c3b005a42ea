#ifndef NET_LISTEN_H
#define NET_LISTEN_H

/* Listening sockets of streams, bound and nonblocking, for the HTTP server to accept from. Called
 * by main while it starts. */

#include "base/address.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* Listen on a TCP address. `address->port` 0: any; the real one is written back on STATUS_OK.
 * [::] takes IPv4 too, as the gossip socket there does.
 * Accepted sockets have TCP_NODELAY: answers to pipelined requests leave at once.
 *
 * STATUS_SYSTEM: `why` names address and reason. The caller closes *fd_out. */
MUST_CHECK enum status listen_tcp(struct address *address, int *fd_out, struct fault *why);

/* Listen on a Unix socket. A socket file that nobody listens on any more is taken over, one that
 * answers is refused, and so is any other kind of file. Who may connect is decided by the file's
 * mode, 0660.
 *
 * STATUS_INVALID: the path is too long; STATUS_SYSTEM: `why` names it and the reason. The caller
 * closes *fd_out and, when it ends, unlinks the path. */
MUST_CHECK enum status listen_unix(const char *path, int *fd_out, struct fault *why);

/* Whether it is one that the Fetch standard forbids to browsers, of those a person might choose. */
bool listen_port_is_bad(uint16_t port);

#endif /* NET_LISTEN_H */
