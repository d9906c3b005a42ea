#ifndef SIM_CHECK_H
#define SIM_CHECK_H

/* What must hold in every run, whatever fails around the nodes. Called by the world after every
 * turn and for every datagram; a broken one ends the program.
 *
 *  monotone   no stored element ever falls, and none changes without being in the feed
 *  sound      every stored value was written by a client or an owner, in the generation in which
 *             its key is; only an owner makes itself alive, unless it is plain and cannot
 *  audit      structures and incremental digests agree with what is computed from scratch (sampled)
 *  depth      a push goes down: its level is above the one by which its sender got the change
 *  wire       every datagram is well formed and within its limit; what goes to a plain peer is a
 *             plain frame that both prototypes survive, of a key that it may get
 *  rate       bytes of a node stay within its rate and burst, acks apart
 *  window     what is unacked at a peer stays within its window
 *  credit     an address that nobody trusts and that has echoed nothing gets what it sent, and a
 *             floor
 *  work       what a datagram makes a node do is bounded by its size, and a turn's work by itself
 *  members    who lives, hears and is heard (machine.is_steady) is a member of the extended level
 *             to all others of that kind; what others say against it ends soon
 *  ended      what is past its deadline to a node it neither lists, digests nor sends
 *  deleted    the generation of a key never falls at a node, whatever comes back */

#include "base/address.h"
#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct world;
struct machine;
struct checks;

enum check {
    CHECK_MONOTONE = 1,
    CHECK_SOUND = 2,
    CHECK_AUDIT = 4,
    CHECK_DEPTH = 8,
    CHECK_WIRE = 16,
    CHECK_RATE = 32,
    CHECK_WINDOW = 64,
    CHECK_CREDIT = 128,
    CHECK_WORK = 256,
    CHECK_MEMBERS = 512,
    CHECK_ENDED = 1024,
    CHECK_DELETED = 2048,
    CHECK_EVERY = 4095
};

struct checks *checks_create(const struct world *world);
void checks_free(struct checks *checks);

/* The generation of a key that was never deleted. */
#define GENERATION_FIRST 0

/* Somebody is about to write this element, or has put it on the wire: it may be stored, as long as
 * its key is in that generation. */
void check_written(struct checks *checks, struct bytes key, uint64_t generation, uint64_t index,
                   uint64_t value);

/* Somebody who is no node says this: all of it may be stored, as far as a node takes it. */
void check_said(struct checks *checks, struct bytes datagram);

/* A turn of a node begins. */
void check_turn_begin(struct world *world, struct machine *machine);

/* A turn of a node is over but for what leaves and node_turn_end(). */
void check_turn(struct world *world, struct machine *machine);

/* All of it has left. */
void check_turn_end(struct world *world, struct machine *machine);

/* A node is gone with its store, or back with one that is older: nothing is known of it. */
void check_forget(struct checks *checks, const struct world *world, const struct machine *machine);

/* A node is about to start over a store that has something in it already. */
void check_loaded(struct world *world, struct machine *machine);

/* A datagram leaves a node. */
void check_sent(struct world *world, struct machine *machine, const struct address *to,
                struct bytes datagram);

/* A datagram is about to be taken by a node, and was: for so much work. */
void check_taken(struct world *world, struct machine *machine, const struct address *from,
                 struct bytes datagram);
void check_worked(struct world *world, struct machine *machine, size_t size, uint64_t work);

/* Everything that is stored anywhere is looked at once more, at the end of a run. */
void check_end(struct world *world);

#endif /* SIM_CHECK_H */
