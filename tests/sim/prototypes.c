#include "sim/prototypes.h"

#include "base/random.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sim/frame.h"

#define SECOND_US         UINT64_C(1000000)
#define RUBY_BYTES_MAX    1500
#define CLOJURE_BYTES_MAX 768
#define RUBY_TTL          50
#define CLOJURE_WAIT_US   (3 * SECOND_US) /* of quiet before anything leaves */
#define CLOJURE_BEAT_US   3010000
#define CLOJURE_FANOUT    4
#define OUT_BYTES_MAX     8192
#define HLL_REGISTERS     1024
#define REPEATS           5 /* keys at once */

struct element {
    uint64_t index;
    uint64_t value;
    bool changed; /* Clojure: still to be sent */
};

struct kept {
    char *key;
    size_t key_size;
    struct element *elements;
    size_t count;
    size_t room;
};

struct out {
    struct out *next;
    struct address to;
    size_t size;
    uint8_t data[];
};

struct prototype {
    struct kept *keys;
    size_t count;
    size_t room;
    struct out *out_first;
    struct out *out_last;
    struct out *given; /* what prototype_emit() gave last */
    struct random random;
    struct address self;
    struct address seed;
    uint64_t tick_us;   /* Ruby: of the next element of hll; Clojure: of the next heartbeat */
    uint64_t output_us; /* Clojure: of what changed; UINT64_MAX: nothing did */
    size_t repeated;    /* keys that were said again */
    uint8_t kind;       /* enum prototype_kind */
    bool repeats;
    bool has_seed;
    bool greeted; /* Ruby: asked its seed for all it knows */
    bool dead;    /* takes nothing any more */
    bool mute;    /* Clojure: sends nothing any more */
};

struct prototype *prototype_create(enum prototype_kind kind, const struct address *self,
                                   uint64_t seed)
{
    struct prototype *prototype = calloc(1, sizeof *prototype);

    assert(prototype != NULL);
    prototype->kind = (uint8_t)kind;
    prototype->self = *self;
    prototype->output_us = UINT64_MAX;
    random_seed(&prototype->random, seed, 1);
    return prototype;
}

void prototype_free(struct prototype *prototype)
{
    if (prototype == NULL) {
        return;
    }
    while (prototype->out_first != NULL) {
        struct out *out = prototype->out_first;

        prototype->out_first = out->next;
        free(out);
    }
    for (size_t i = 0; i < prototype->count; i++) {
        free(prototype->keys[i].key);
        free(prototype->keys[i].elements);
    }
    free(prototype->keys);
    free(prototype->given);
    free(prototype);
}

bool prototype_is_dead(const struct prototype *prototype)
{
    return prototype->dead || prototype->mute;
}

/* The store. */

static struct kept *kept_find(const struct prototype *prototype, struct bytes key)
{
    for (size_t i = 0; i < prototype->count; i++) {
        struct kept *kept = &prototype->keys[i];

        if (kept->key_size == key.size && memcmp(kept->key, key.data, key.size) == 0) {
            return kept;
        }
    }
    return NULL;
}

static struct kept *kept_obtain(struct prototype *prototype, struct bytes key)
{
    struct kept *kept = kept_find(prototype, key);

    if (kept != NULL) {
        return kept;
    }
    if (prototype->count == prototype->room) {
        prototype->room = prototype->room * 2 + 16;
        prototype->keys = realloc(prototype->keys, prototype->room * sizeof *prototype->keys);
        assert(prototype->keys != NULL);
    }
    kept = &prototype->keys[prototype->count++];
    *kept = (struct kept){ .key = malloc(key.size + 1), .key_size = key.size };
    assert(kept->key != NULL);
    memcpy(kept->key, key.data, key.size);
    kept->key[key.size] = '\0';
    return kept;
}

static struct element *element_find(const struct kept *kept, uint64_t index)
{
    for (size_t i = 0; i < kept->count; i++) {
        if (kept->elements[i].index == index) {
            return &kept->elements[i];
        }
    }
    return NULL;
}

static bool element_raise(struct kept *kept, uint64_t index, uint64_t value)
{
    struct element *element = element_find(kept, index);

    if (element == NULL) {
        if (kept->count == kept->room) {
            kept->room = kept->room * 2 + 4;
            kept->elements = realloc(kept->elements, kept->room * sizeof *kept->elements);
            assert(kept->elements != NULL);
        }
        element = &kept->elements[kept->count++];
        *element = (struct element){ .index = index };
    }
    if (value <= element->value) {
        return false;
    }
    element->value = value;
    element->changed = true;
    return true;
}

uint64_t prototype_read(const struct prototype *prototype, const char *key, uint64_t index)
{
    const struct kept *kept =
        kept_find(prototype, (struct bytes){ (const uint8_t *)key, strlen(key) });
    const struct element *element = kept == NULL ? NULL : element_find(kept, index);

    return element == NULL ? 0 : element->value;
}

/* Presence keys. */

static bool is_presence(struct bytes key)
{
    return key.size >= 2 && key.data[0] == 'n' && key.data[1] == ':';
}

/* An IPv4 address and a port, which both kinds can send to. */
static bool presence_usable(struct bytes key, struct address *address)
{
    const struct bytes text = { key.data + 2, key.size - 2 };

    return address_from_text(text, address) && address_is_ipv4(address) && address->port != 0;
}

static size_t presence_of(const struct address *address, char key[2 + ADDRESS_TEXT_MAX])
{
    memcpy(key, "n:", 2);
    return 2 + address_to_text(address, key + 2);
}

void prototype_seed(struct prototype *prototype, const struct address *seed)
{
    char key[2 + ADDRESS_TEXT_MAX];

    prototype->seed = *seed;
    prototype->has_seed = true;
    if (prototype->kind == PROTOTYPE_CLOJURE) {
        (void)kept_obtain(prototype,
                          (struct bytes){ (const uint8_t *)key, presence_of(seed, key) });
    }
}

/* Peers in the order in which they were heard of, ourselves left out. Returns how many. */
static size_t neighbours(const struct prototype *prototype, struct address *list, size_t room)
{
    size_t count = 0;

    for (size_t i = 0; i < prototype->count && count < room; i++) {
        const struct kept *kept = &prototype->keys[i];
        const struct bytes key = { (const uint8_t *)kept->key, kept->key_size };
        struct address address;

        if (is_presence(key) && presence_usable(key, &address)
            && address_compare(&address, &prototype->self) != 0) {
            list[count++] = address;
        }
    }
    return count;
}

/* Sending. */

static void frame_send(struct prototype *prototype, const struct address *to,
                       const struct frame *frame)
{
    struct out *out = calloc(1, sizeof *out + OUT_BYTES_MAX);

    assert(out != NULL);
    out->to = *to;
    out->size = frame_write(frame, prototype->kind == PROTOTYPE_RUBY,
                            (struct space){ out->data, OUT_BYTES_MAX });
    if (out->size == 0) {
        free(out);
        return;
    }
    if (prototype->out_last == NULL) {
        prototype->out_first = out;
    } else {
        prototype->out_last->next = out;
    }
    prototype->out_last = out;
}

static void frame_add(struct frame *frame, uint64_t index, uint64_t value)
{
    if (frame->count < FRAME_ELEMENTS_MAX) {
        frame->elements[frame->count].index = index;
        frame->elements[frame->count++].value = value;
    }
}

static struct address *peer_pick(struct prototype *prototype, const struct address *except,
                                 struct address *picked)
{
    struct address list[256];
    size_t count = neighbours(prototype, list, sizeof list / sizeof list[0]);

    for (size_t i = 0; except != NULL && i < count; i++) {
        if (address_compare(&list[i], except) == 0) {
            list[i] = list[--count];
        }
    }
    if (count == 0) {
        return NULL;
    }
    *picked = list[random_below(&prototype->random, count)];
    return picked;
}

void prototype_repeat(struct prototype *prototype, bool repeats)
{
    prototype->repeats = repeats;
}

static void some_repeat(struct prototype *prototype)
{
    struct frame *frame = calloc(1, sizeof *frame);
    struct address to;

    assert(frame != NULL);
    for (size_t i = 0; i < REPEATS && i < prototype->count; i++) {
        const struct kept *kept = &prototype->keys[prototype->repeated++ % prototype->count];
        const struct bytes key = { (const uint8_t *)kept->key, kept->key_size };

        *frame = (struct frame){ .key = key,
                                 .ttl = RUBY_TTL,
                                 .has_ttl = prototype->kind == PROTOTYPE_RUBY };
        for (size_t k = 0; k < kept->count && !is_presence(key); k++) {
            frame_add(frame, kept->elements[k].index, kept->elements[k].value);
        }
        if (frame->count > 0 && peer_pick(prototype, NULL, &to) != NULL) {
            frame_send(prototype, &to, frame);
        }
    }
    free(frame);
}

/* Ruby. */

/* What the rule says of one message: what rose goes to one random peer, where ours is larger to
 * the sender. */
static void ruby_apply(struct prototype *prototype, const struct address *from,
                       const struct frame *message)
{
    struct kept *kept = kept_find(prototype, message->key);
    static const struct frame empty = { .odd = 0 };
    struct frame *raised = calloc(2, sizeof *raised);
    struct frame *larger = raised + 1;
    struct address to;

    assert(raised != NULL);
    *raised = empty;
    raised->key = message->key;
    raised->has_ttl = true;
    raised->ttl = message->ttl - 1;
    *larger = *raised;
    if (message->count == 0) {
        for (size_t i = 0; kept != NULL && i < kept->count; i++) {
            frame_add(larger, kept->elements[i].index, kept->elements[i].value);
        }
    } else {
        kept = kept_obtain(prototype, message->key);
    }
    for (size_t i = 0; i < message->count; i++) {
        const uint64_t index = message->elements[i].index;

        if (element_raise(kept, index, message->elements[i].value)) {
            frame_add(raised, index, message->elements[i].value);
        } else if (element_find(kept, index)->value > message->elements[i].value) {
            frame_add(larger, index, element_find(kept, index)->value);
        }
    }
    if (message->ttl > 1 && raised->count > 0 && peer_pick(prototype, from, &to) != NULL) {
        frame_send(prototype, &to, raised);
    }
    if (message->ttl > 1 && larger->count > 0 && from != NULL) {
        frame_send(prototype, from, larger);
    }
    free(raised);
}

static bool key_has(struct bytes key, const char *any)
{
    for (size_t i = 0; i < key.size; i++) {
        if (key.data[i] != 0 && strchr(any, key.data[i]) != NULL) {
            return true;
        }
    }
    return false;
}

/* `prefix%`: everything whose name has the prefix somewhere in it, one datagram a key. */
static void ruby_search(struct prototype *prototype, const struct address *from,
                        const struct frame *message)
{
    const size_t size = message->key.size - 1;
    struct frame *answer = calloc(1, sizeof *answer);

    assert(answer != NULL);
    for (size_t i = 0; i < prototype->count && message->ttl > 1; i++) {
        const struct kept *kept = &prototype->keys[i];

        if (memmem(kept->key, kept->key_size, message->key.data, size) == NULL) {
            continue;
        }
        *answer = (struct frame){ .key = { (const uint8_t *)kept->key, kept->key_size },
                                  .ttl = message->ttl - 1,
                                  .has_ttl = true };
        for (size_t k = 0; k < kept->count; k++) {
            frame_add(answer, kept->elements[k].index, kept->elements[k].value);
        }
        frame_send(prototype, from, answer);
    }
    free(answer);
}

static const char *ruby_fault(struct moment now, struct bytes datagram, const struct frame *frame)
{
    struct address address;

    if (datagram.size > RUBY_BYTES_MAX) {
        return "would have crashed: over 1500 bytes";
    }
    if ((frame->odd & (FRAME_BROKEN | FRAME_TRAILING | FRAME_NOT_MAP | FRAME_EXT)) != 0) {
        return "would have crashed: not one msgpack map";
    }
    if ((frame->odd & (FRAME_NO_KEY | FRAME_NO_VECTOR | FRAME_BAD_VALUE | FRAME_NOT_UTF8)) != 0) {
        return "would have crashed: key or vector";
    }
    if (!frame->has_ttl || (frame->odd & FRAME_BAD_TTL) != 0) {
        return "would have crashed: no ttl to take one from";
    }
    if (key_has(frame->key, "*") || (key_has(frame->key, "%") && key_has(frame->key, "([{"))) {
        return "would have crashed: a pattern";
    }
    if (is_presence(frame->key) && !key_has(frame->key, "%")) {
        if (!presence_usable(frame->key, &address)) {
            return "would have crashed: a presence it cannot send to";
        }
        for (size_t i = 0; i < frame->count; i++) {
            if (frame->elements[i].index == 0 && frame->elements[i].value > now.unix_s / 60) {
                return "would storm: a stamp above its own minute";
            }
        }
    }
    return NULL;
}

static const char *ruby_receive(struct prototype *prototype, struct moment now,
                                const struct address *from, struct bytes datagram,
                                const struct frame *frame)
{
    const char *fault = ruby_fault(now, datagram, frame);
    struct frame *presence;
    char key[2 + ADDRESS_TEXT_MAX];

    if (fault != NULL && fault[6] == 'h') {
        prototype->dead = true;
        return fault;
    }
    presence = calloc(1, sizeof *presence);
    assert(presence != NULL);
    *presence = (struct frame){ .key = { (const uint8_t *)key, presence_of(from, key) },
                                .ttl = RUBY_TTL,
                                .has_ttl = true };
    frame_add(presence, 0, now.unix_s / 60);
    ruby_apply(prototype, from, presence);
    free(presence);
    if (key_has(frame->key, "%")) {
        ruby_search(prototype, from, frame);
    } else {
        ruby_apply(prototype, from, frame);
    }
    return fault;
}

static void ruby_tick(struct prototype *prototype, struct moment now)
{
    struct frame *frame = calloc(1, sizeof *frame);
    uint64_t index;

    assert(frame != NULL);
    if (!prototype->greeted && prototype->has_seed) {
        prototype->greeted = true;
        *frame = (struct frame){ .key = { (const uint8_t *)"n:%", 3 },
                                 .ttl = RUBY_TTL,
                                 .has_ttl = true };
        frame_send(prototype, &prototype->seed, frame);
    }
    *frame =
        (struct frame){ .key = { (const uint8_t *)"hll", 3 }, .ttl = RUBY_TTL, .has_ttl = true };
    index = random_below(&prototype->random, HLL_REGISTERS);
    frame_add(frame, index, 1 + random_below(&prototype->random, 12));
    ruby_apply(prototype, NULL, frame);
    free(frame);
    prototype->tick_us = now.mono_us + SECOND_US;
}

/* Clojure. */

static const char *clojure_fault(struct bytes datagram, const struct frame *frame)
{
    if (datagram.size > CLOJURE_BYTES_MAX) {
        return "would have crashed: over 768 bytes";
    }
    if ((frame->odd & (FRAME_STR8 | FRAME_BIN | FRAME_EXT | FRAME_NOT_UTF8)) != 0) {
        return "would have crashed: a form newer than its msgpack";
    }
    if ((frame->odd & (FRAME_BROKEN | FRAME_NOT_MAP | FRAME_NO_KEY | FRAME_BAD_VALUE)) != 0) {
        return "would have crashed: key or vector";
    }
    if (key_has(frame->key, "%") && key_has(frame->key, "([{")) {
        return "would have crashed: a pattern";
    }
    return NULL;
}

static const char *clojure_receive(struct prototype *prototype, struct moment now,
                                   struct bytes datagram, const struct frame *frame)
{
    const char *fault = clojure_fault(datagram, frame);
    struct address address;
    struct kept *kept;
    bool changed = false;

    if (fault != NULL) {
        prototype->dead = true;
        return fault;
    }
    if (key_has(frame->key, "%*")) {
        return NULL; /* never answered */
    }
    if (is_presence(frame->key) && !presence_usable(frame->key, &address)) {
        prototype->mute = true;
        return "would have crashed: a presence it cannot send to";
    }
    kept =
        frame->count == 0 ? kept_find(prototype, frame->key) : kept_obtain(prototype, frame->key);
    for (size_t i = 0; i < frame->count; i++) {
        changed =
            element_raise(kept, frame->elements[i].index, frame->elements[i].value) || changed;
    }
    for (size_t i = 0; frame->count == 0 && kept != NULL && i < kept->count; i++) {
        kept->elements[i].changed = true;
        changed = true;
    }
    if (changed) {
        prototype->output_us = now.mono_us + CLOJURE_WAIT_US;
    }
    return NULL;
}

static void clojure_send(struct prototype *prototype, const struct frame *frame)
{
    struct address list[CLOJURE_FANOUT];
    const size_t count = prototype->mute ? 0 : neighbours(prototype, list, CLOJURE_FANOUT);

    for (size_t i = 0; i < count && frame->count > 0; i++) {
        frame_send(prototype, &list[i], frame);
    }
}

static void clojure_output(struct prototype *prototype)
{
    struct frame *frame = calloc(1, sizeof *frame);

    assert(frame != NULL);
    for (size_t i = 0; i < prototype->count; i++) {
        struct kept *kept = &prototype->keys[i];

        *frame = (struct frame){ .key = { (const uint8_t *)kept->key, kept->key_size } };
        for (size_t k = 0; k < kept->count; k++) {
            if (kept->elements[k].changed) {
                kept->elements[k].changed = false;
                frame_add(frame, kept->elements[k].index, kept->elements[k].value);
            }
        }
        clojure_send(prototype, frame);
    }
    free(frame);
    prototype->output_us = UINT64_MAX;
}

static void clojure_beat(struct prototype *prototype, struct moment now)
{
    struct frame *frame = calloc(1, sizeof *frame);
    char key[2 + ADDRESS_TEXT_MAX];

    assert(frame != NULL);
    *frame = (struct frame){ .key = { (const uint8_t *)key, presence_of(&prototype->self, key) },
                             .full = true };
    frame_add(frame, 0, now.unix_s * 1000 + now.mono_us / 1000 % 1000);
    clojure_send(prototype, frame);
    free(frame);
    prototype->tick_us = now.mono_us + CLOJURE_BEAT_US;
}

/* Both. */

const char *prototype_receive(struct prototype *prototype, struct moment now,
                              const struct address *from, struct bytes datagram)
{
    struct frame *frame;
    const char *fault;

    if (prototype->dead) {
        return NULL;
    }
    frame = calloc(1, sizeof *frame);
    assert(frame != NULL);
    frame_read(datagram, frame);
    fault = prototype->kind == PROTOTYPE_RUBY ? ruby_receive(prototype, now, from, datagram, frame)
                                              : clojure_receive(prototype, now, datagram, frame);
    free(frame);
    return fault;
}

void prototype_write(struct prototype *prototype, struct moment now, const char *key,
                     uint64_t index, uint64_t value)
{
    struct frame *frame = calloc(1, sizeof *frame);

    assert(frame != NULL);
    *frame = (struct frame){ .key = { (const uint8_t *)key, strlen(key) },
                             .ttl = RUBY_TTL,
                             .has_ttl = true };
    frame_add(frame, index, value);
    if (prototype->kind == PROTOTYPE_RUBY) {
        ruby_apply(prototype, NULL, frame);
    } else {
        (void)clojure_receive(prototype, now, (struct bytes){ NULL, 0 }, frame);
    }
    free(frame);
}

bool prototype_emit(struct prototype *prototype, struct moment now, struct bytes *datagram,
                    struct address *to)
{
    if (prototype->tick_us == 0) {
        prototype->tick_us = now.mono_us + random_below(&prototype->random, SECOND_US);
    }
    if (now.mono_us >= prototype->tick_us) {
        if (prototype->kind == PROTOTYPE_RUBY) {
            ruby_tick(prototype, now);
        } else {
            clojure_beat(prototype, now);
        }
        if (prototype->repeats) {
            some_repeat(prototype);
        }
    }
    if (now.mono_us >= prototype->output_us) {
        clojure_output(prototype);
    }
    free(prototype->given);
    prototype->given = prototype->out_first;
    if (prototype->given == NULL) {
        return false;
    }
    prototype->out_first = prototype->given->next;
    if (prototype->out_first == NULL) {
        prototype->out_last = NULL;
    }
    *datagram = (struct bytes){ prototype->given->data, prototype->given->size };
    *to = prototype->given->to;
    return true;
}

uint64_t prototype_due_us(const struct prototype *prototype)
{
    return prototype->output_us < prototype->tick_us ? prototype->output_us : prototype->tick_us;
}
