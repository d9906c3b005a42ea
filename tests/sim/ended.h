#ifndef SIM_ENDED_H
#define SIM_ENDED_H

/* Keys that end: their names, read and made by other code than the store's, and what must hold of a
 * node once it is their minute. Used by the checks (check.h), and for the names by whoever writes
 * keys. */

#include "base/address.h"
#include "base/bytes.h"
#include "wire/message.h"

#include <stddef.h>
#include <stdint.h>

struct world;
struct machine;
struct ended; /* opaque */

#define ENDED_NEVER    UINT32_MAX
#define ENDED_KEY_MAX  64
#define ENDED_CALENDAR (5 * WORLD_S) /* until what is past has left the digests */

/* The minute since 1970 at which a key ends. */
uint32_t ended_deadline(struct bytes key);

/* A key of that stem which ends at that minute, with a NUL. */
void ended_name(char key[ENDED_KEY_MAX], const char *stem, uint32_t minute);

struct ended *ended_create(const struct world *world);
void ended_free(struct ended *ended);

/* Somebody writes a key: its hash on the wire is known from now on. */
void ended_written(struct ended *ended, struct bytes key);

/* A node begins anew. */
void ended_forget(struct ended *ended, uint32_t machine);

/* A turn of a node begins, and is over: which minute it is to the node. */
void ended_begin(struct world *world, struct ended *ended, struct machine *machine);
void ended_turn(struct world *world, struct ended *ended, struct machine *machine);

/* Something of a key rose at a node, which must not be past its minute. */
void ended_raised(struct world *world, struct ended *ended, struct machine *machine,
                  struct bytes key);

/* All that a node lists: nothing past its minute, and its digest is the sum of just that. */
void ended_listed(struct world *world, struct ended *ended, struct machine *machine);

/* A datagram leaves a node: no item of a key past its minute, and once the calendar had its time
 * nothing at all about one. */
void ended_sent(struct world *world, struct ended *ended, struct machine *machine,
                const struct message *message);

#endif /* SIM_ENDED_H */
