#ifndef UNIT_WORLD_FIXTURE_H
#define UNIT_WORLD_FIXTURE_H

/* A world and nothing else, for tests of whole nodes, and the words of a plain peer in it. */

#include "node/state.h"
#include "wire/writer.h"

#include "unit/test.h"
#include "unit/world.h"

static inline int setup(void **state)
{
    static struct world world; /* a test program has one; cmocka runs tests in sequence */

    *state = &world;
    return 0;
}

static inline int teardown(void **state)
{
    return world_free(*state) ? 0 : -1;
}

/* Nodes that trust nobody; the first one is the seed of all others. */
static inline void nodes_create(struct world *world, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct node_options options = world_options(i);

        world_join(world, &options);
    }
}

/* A plain message with one element, or with none where the value is 0. */
static inline struct bytes plain_write(uint8_t buffer[WIRE_PLAIN_BYTES_MAX], const char *key,
                                       uint64_t index, uint64_t value)
{
    const struct space space = { buffer, WIRE_PLAIN_BYTES_MAX };
    const uint8_t offset = (uint8_t)index;
    const struct block block = {
        .number = index >> 8, .values = &value, .offsets = &offset, .count = 1, .width = 8
    };
    struct writer writer;

    writer_begin_plain(&writer, space, bytes_of(key), 3, false);
    if (value > 0) {
        assert_int_equal(writer_put_block(&writer, &block, NULL), BLOCK_ELEMENTS);
    }
    return writer_end(&writer);
}

/* A plain message to node `to`, from an address that is no node's. */
static inline void plain_send(struct world *world, size_t from, size_t to, const char *key,
                              uint64_t index, uint64_t value)
{
    const struct address source = world_address(from);
    const struct address target = world_address(to);
    uint8_t buffer[WIRE_PLAIN_BYTES_MAX];

    world_send(world, &source, &target, plain_write(buffer, key, index, value));
}

#endif /* UNIT_WORLD_FIXTURE_H */
