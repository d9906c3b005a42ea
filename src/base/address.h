#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H

/* An address as the core sees it: compared, hashed and printed, never resolved. Text forms are
 * those of presence keys without "n:" (192.0.2.1:6001, [2001:db8::1]:6001). Called by node, net,
 * http and config. */

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDRESS_TEXT_MAX 47 /* "[", 39 of IPv6, "]:", 5 of the port */

struct address {
    uint8_t ip[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint16_t port;  /* host order */
};

/* Negative, 0 or positive: by ip, then by port. */
int address_compare(const struct address *one, const struct address *other);

/* A keyed hash of it: strangers choose addresses. */
uint64_t address_hash(const struct address *address, uint64_t secret);

bool address_is_ipv4(const struct address *address);
bool address_is_loopback(const struct address *address);
bool address_is_wildcard(const struct address *address); /* 0.0.0.0 or :: */

/* The host at an address, for whatever is shared out among hosts: an IPv4 address or, as one host
 * may take any address of such a network, the first 64 bits of an IPv6 address; no port. */
struct address address_host(const struct address *address);

/* True when a peer may have it: port 1..65535 and not wildcard, broadcast, multicast, link-local
 * or 0.0.0.0/8. Loopback may. */
bool address_is_peer(const struct address *address);

/* IPv4 or IPv6 literal, then the port after the last ':'; IPv6 in brackets. Only the canonical
 * form is taken (RFC 5952: lower case, longest run of zeros as "::", no leading zeros, port
 * without leading zeros; a v4-mapped address is written as IPv4), so that one address has one
 * text. Port 0 is taken. False: anything else; *address_out untouched. */
bool address_from_text(struct bytes text, struct address *address_out);

/* Whether a key is that of a peer's presence, "n:" and the text of an address that a peer may have,
 * and whose. */
bool address_from_presence(struct bytes key, struct address *address_out);

/* A literal in any form inet_pton(3) takes, no port and no brackets. For what people type. */
bool address_ip_from_text(struct bytes text, uint8_t ip_out[16]);

/* The canonical text into at least ADDRESS_TEXT_MAX bytes, no NUL. Returns its size. */
size_t address_to_text(const struct address *address, char *to);

/* The ip alone (no brackets, no port), into at least ADDRESS_TEXT_MAX bytes, no NUL. */
size_t address_ip_to_text(const struct address *address, char *to);

/* A block of addresses: trust lists. "10.0.0.0/8", "::1", "2001:db8::/32". */
struct address_range {
    uint8_t ip[16];
    uint8_t bits; /* 0..128, over the 16 bytes: IPv4 /8 is 104 */
};
bool address_range_from_text(struct bytes text, struct address_range *range_out);
bool address_in_range(const struct address *address, const struct address_range *range);

/* Whether it is in any of them. */
bool address_in_ranges(const struct address *address, const struct address_range *ranges,
                       size_t count);

#endif /* BASE_ADDRESS_H */
