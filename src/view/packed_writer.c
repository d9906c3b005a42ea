#include "view/packed_writer.h"

#include "base/text.h"

#include <msgpack.h>

#include <string.h>

static int put(void *data, const char *bytes, size_t size)
{
    output_put((struct output *)data, (struct bytes){ (const uint8_t *)bytes, size });
    return 0;
}

static msgpack_packer packer_of(struct output *output)
{
    return (msgpack_packer){ .data = output, .callback = put };
}

void packed_map(struct output *output, uint64_t pairs)
{
    msgpack_packer packer = packer_of(output);

    msgpack_pack_map(&packer, pairs);
}

void packed_array(struct output *output, uint64_t values)
{
    msgpack_packer packer = packer_of(output);

    msgpack_pack_array(&packer, values);
}

void packed_text(struct output *output, struct bytes text)
{
    msgpack_packer packer = packer_of(output);

    msgpack_pack_str(&packer, text.size);
    msgpack_pack_str_body(&packer, text.data, text.size);
}

void packed_name(struct output *output, const char *name)
{
    packed_text(output, (struct bytes){ (const uint8_t *)name, strlen(name) });
}

void packed_u64(struct output *output, uint64_t number)
{
    msgpack_packer packer = packer_of(output);

    msgpack_pack_uint64(&packer, number);
}

void packed_hex64(struct output *output, uint64_t number)
{
    char hex[16];

    text_put_hex64(hex, number);
    packed_text(output, (struct bytes){ (const uint8_t *)hex, sizeof hex });
}

void packed_elements(struct output *output, const struct block *block)
{
    for (unsigned i = 0; i < block->count; i++) {
        const uint64_t value = block_value(block, i);

        if (value != 0) {
            packed_u64(output, block->number << 8 | block_offset(block, i));
            packed_u64(output, value);
        }
    }
}
