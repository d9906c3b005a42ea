#ifndef NET_SOCKADDR_H
#define NET_SOCKADDR_H

/* Between the core's addresses and the kernel's. Private to the room. */

#include "base/address.h"

#include <stdbool.h>
#include <sys/socket.h>

/* `family` AF_INET or AF_INET6; AF_INET takes IPv4 only (asserted). Returns the size. */
socklen_t sockaddr_put(const struct address *address, int family, struct sockaddr_storage *to);

/* False: neither IPv4 nor IPv6. */
bool sockaddr_get(const struct sockaddr *from, struct address *address_out);

/* The family of a socket that is to be bound to this address. */
int sockaddr_family(const struct address *address);

#endif /* NET_SOCKADDR_H */
