#include "node/extended.h"

#include "node/bounds.h"
#include "node/detect.h"
#include "node/flights.h"
#include "node/join.h"
#include "node/outbox.h"
#include "node/presence.h"
#include "node/state.h"
#include "node/sync.h"
#include "store/marks.h"
#include "store/pattern.h"

#include <assert.h>
#include <string.h>

#define HELLO_DEPTH 0 /* what a hello raises begins its way here */

static bool run_is(const struct run *run)
{
    return run->left > 0;
}

static bool has(const struct envelope *envelope, enum wire_field field)
{
    return (envelope->has & field) != 0;
}

static bool has_sync_fields(const struct message *message)
{
    return run_is(&message->tree) || run_is(&message->leaves) || run_is(&message->block_digests)
           || run_is(&message->wanted);
}

enum node_kind extended_kind(const struct message *message)
{
    const struct envelope *envelope = &message->envelope;

    if (message->plain.key.size > 0) {
        return NODE_KIND_HELLO;
    }
    if (message->probe_target.size > 0 || has(envelope, WIRE_HAS_REFUSED)
        || (has(envelope, WIRE_HAS_SEQUENCE) && has(envelope, WIRE_HAS_ROOTS))) {
        return NODE_KIND_PROBE;
    }
    if (has_sync_fields(message)) {
        return NODE_KIND_SYNC;
    }
    if (run_is(&message->items)) {
        return envelope->depth == WIRE_DEPTH_STOP ? NODE_KIND_SYNC : NODE_KIND_PUSH;
    }
    return NODE_KIND_ACK;
}

/* Whether a datagram echoes the token that only somebody who receives at its source can know, and
 * says that it is the peer of that address. */
static bool is_proved(const struct node *node, struct moment now, const struct peer *from,
                      const struct envelope *envelope)
{
    return has(envelope, WIRE_HAS_ECHO) && has(envelope, WIRE_HAS_SENDER)
           && envelope->sender_id == (uint32_t)from->id
           && node_is_token(node, now, &from->address, envelope->echo);
}

/* A clock is believed of the trusted, where no forger can have sent the datagram: it echoes our
 * token, or acks a number of ours that only its receiver knows. */
static void clock_note(struct node *node, struct moment now, const struct peer *from,
                       const struct envelope *envelope)
{
    if (has(envelope, WIRE_HAS_CLOCK) && node_trusts_address(node, &from->address)) {
        guard_vote(&node->guard, now, &from->address, envelope->clock_s);
    }
}

static void echo_note(struct node *node, struct moment now, struct peer *from)
{
    const bool first = from->validated_us == 0;

    from->validated_us = now.mono_us;
    from->hello_tries = 0;
    if (first && from->presence != NULL) {
        presence_update_peer(node, now, from);
    }
}

static void envelope_note(struct peer *from, const struct envelope *envelope)
{
    if (has(envelope, WIRE_HAS_TOKEN)) {
        memcpy(from->token, envelope->token, sizeof from->token);
        from->has_token = true;
    }
    if (has(envelope, WIRE_HAS_WINDOW)) {
        from->window_theirs = envelope->window;
    }
    if (has(envelope, WIRE_HAS_ROOTS)) {
        from->minute = has(envelope, WIRE_HAS_LATER) ? envelope->later : envelope->minute;
    }
    from->flags_theirs = envelope->flags;
}

/* A set of elements that the sender is to be told; NULL when there is no memory for it. */
static struct marks *reply_of(struct node *node, struct peer *from)
{
    struct owed *owed = outbox_owe(node, from);

    return owed == NULL ? NULL : &owed->larger;
}

static void items_receive(struct node *node, struct moment now, struct peer *from,
                          const struct message *message, bool proved)
{
    const uint8_t depth =
        has(&message->envelope, WIRE_HAS_DEPTH) ? message->envelope.depth : WIRE_DEPTH_STOP;
    struct run items = message->items;
    struct item item;

    while (message_next_item(&items, &item)) {
        struct presence_report report = { .elements = item.elements,
                                          .depth = depth,
                                          .proved = proved };

        if (item.by_hash) {
            join_item(node, now, from, &item, depth, reply_of(node, from));
        } else if (presence_address(item.key, &report.about)) {
            report.source = (uint8_t)presence_source_of(from, &report.about, true, proved);
            report.reply = reply_of(node, from);
            presence_receive(node, now, from, &report);
        } else if (pattern_is(item.key)) {
            /* A question, wherever it comes, is never stored. */
            refused_count(node, keys, &from->address, 1);
        } else {
            join_item(node, now, from, &item, depth, reply_of(node, from));
        }
    }
}

/* Acks, and the roots that come with them. The digests of an ack are salted with its first `a`.
 * Returns whether something was acked that is under way. */
static bool acks_receive(struct node *node, struct moment now, struct peer *from,
                         const struct message *message)
{
    const struct envelope *envelope = &message->envelope;
    const bool answering = !has(envelope, WIRE_HAS_SEQUENCE);
    struct run acks = message->acks;
    uint32_t salt = envelope->sequence;
    uint32_t sequence;
    bool first = true;
    bool acked = false;

    while (message_next_ack(&acks, &sequence)) {
        if (first && answering) {
            salt = sequence;
        }
        first = false;
        acked = flights_acked(node, now, from, sequence) || acked;
    }
    if (has(envelope, WIRE_HAS_ROOTS) && (!answering || !first)) {
        sync_roots_received(node, now, from, envelope, salt, answering);
    }
    return acked;
}

static void requests_receive(struct node *node, struct moment now, struct peer *from,
                             const struct message *message)
{
    const struct envelope *envelope = &message->envelope;

    if (message->probe_target.size > 0 && has(envelope, WIRE_HAS_SEQUENCE)) {
        detect_requested(node, now, from, message->probe_target, envelope->sequence);
    }
    if (has(envelope, WIRE_HAS_REFUSED)) {
        detect_refused(node, now, from, envelope->refused);
    }
    if (has_sync_fields(message)) {
        sync_receive(node, now, from, message, envelope->sequence);
    }
}

/* Whether to go on with what the sender says of others. Who does not say who it is by the id of
 * its address is not taken for the peer of that address; whose presence is not known is asked. */
static bool sender_check(struct node *node, struct peer *from, const struct envelope *envelope)
{
    if (!has(envelope, WIRE_HAS_SENDER) || envelope->sender_id != (uint32_t)from->id) {
        refused_count(node, presence, &from->address, 1);
        return false;
    }
    if (from->level == 0) {
        struct owed *owed = outbox_owe(node, from);

        if (owed != NULL) {
            owed->has_who = true;
            owed->who = envelope->sender_id;
        }
    }
    return true;
}

/* An ack is owed for what was taken. A request to probe is acked by the probe's own answer. */
static void sequence_receive(struct node *node, struct peer *from, const struct message *message)
{
    const struct envelope *envelope = &message->envelope;
    const bool hello = message->plain.key.size > 0;

    if (has(envelope, WIRE_HAS_SEQUENCE) && message->probe_target.size == 0) {
        outbox_owe_ack(node, from, envelope->sequence, !hello && has(envelope, WIRE_HAS_ROOTS));
    }
}

/* The owner is told what is said of it that is larger than what it says, since whoever slanders a
 * member does not tell it. What it says of anybody else is not taken in this place. */
static void hello_receive(struct node *node, struct moment now, struct peer *from,
                          const struct message *message, bool proved)
{
    struct presence_report report = { .elements = message->plain.elements,
                                      .depth = HELLO_DEPTH,
                                      .proved = proved };

    if (message->plain.key.size == 0 || !presence_address(message->plain.key, &report.about)) {
        return;
    }
    report.source = (uint8_t)presence_source_of(from, &report.about, false, proved);
    report.reply = report.source == SOURCE_STRANGER ? NULL : reply_of(node, from);
    presence_receive(node, now, from, &report);
}

void extended_receive(struct node *node, struct moment now, struct peer *from,
                      const struct message *message)
{
    const struct envelope *envelope = &message->envelope;
    const bool was_validated = from->validated_us != 0;
    const bool proved = is_proved(node, now, from, envelope);

    envelope_note(from, envelope);
    hello_receive(node, now, from, message, proved);
    if (!sender_check(node, from, envelope)) {
        return;
    }
    if (proved) {
        echo_note(node, now, from);
    }
    if (acks_receive(node, now, from, message) || proved) {
        clock_note(node, now, from, envelope);
    }
    items_receive(node, now, from, message, proved);
    sequence_receive(node, from, message);
    requests_receive(node, now, from, message);
    if (has(envelope, WIRE_HAS_WHO) && envelope->who == (uint32_t)node->self_id) {
        outbox_owe_hello(node, now, from, true);
    }
    /* It asks for our echo and does not ask for an ack: answer, or it would never be sure. */
    if (!was_validated && from->has_token && from->validated_us != 0) {
        struct owed *owed = outbox_owe(node, from);

        if (owed != NULL) {
            owed->bare = true;
        }
    }
}
