#ifndef SIM_LIMITS_H
#define SIM_LIMITS_H

/* How much may leave a node, to whom, and how much it may do at once: the checks that count. Each
 * keeps its own account of what it saw on the wire, as unlike the node's as can be. Used by the
 * checks (check.h) alone. */

#include "base/address.h"
#include "base/bytes.h"
#include "wire/message.h"

#include <stddef.h>
#include <stdint.h>

struct world;
struct machine;
struct limits; /* opaque */

struct limits *limits_create(size_t machines);
void limits_free(struct limits *limits);

/* A node begins anew: it knows nothing of windows, echoes and credit any more. */
void limits_forget(struct limits *limits, uint32_t machine);

/* Bytes of a node stay within its rate and burst. `what` names the datagram. */
void limits_rate(struct world *world, struct limits *limits, uint32_t machine, const char *what,
                 size_t size);

/* A datagram that fills a window leaves; acks come. Never more of them are unacked at a peer than a
 * window that grew with every ack and never shrank. */
void limits_window_sent(struct world *world, struct limits *limits, uint32_t machine,
                        const struct address *to, const struct message *message);
void limits_window_taken(struct world *world, struct limits *limits, uint32_t machine,
                         const struct address *from, const struct message *message);

/* An address outside `trust` that has not shown that it receives where it sends from gets at most
 * what came from it, and a floor of LIMITS_FLOOR_BYTES a second for each /24, and of
 * LIMITS_FLOOR_ALL_BYTES for all of them together. To be told of it, by somebody who is trusted or
 * has echoed, counts as if one small datagram had come from it. Judged are the addresses of
 * strangers: who is a member was introduced by a person or by a member. */
#define LIMITS_FLOOR_BYTES     (128 + 28) /* a small datagram, whatever came */
#define LIMITS_FLOOR_ALL_BYTES 64000
void limits_credit_sent(struct world *world, struct limits *limits, uint32_t machine,
                        const struct address *to, size_t size);
void limits_credit_taken(struct world *world, struct limits *limits, uint32_t machine,
                         const struct address *from, struct bytes datagram);

/* The address is in a presence that a node has from disk. */
void limits_credit_told(struct limits *limits, uint32_t machine, const struct address *about);

/* Counted work: of one datagram by its size, of a turn in all. Taken before the first and after
 * the last call of a turn. */
void limits_work_begin(struct world *world, struct limits *limits, uint32_t machine);
void limits_work_datagram(struct limits *limits, uint32_t machine, size_t size, uint64_t work);
void limits_work_end(struct world *world, struct limits *limits, uint32_t machine);

#endif /* SIM_LIMITS_H */
