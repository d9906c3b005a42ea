#include "disk/frame.h"

#include "base/hash.h"
#include "wire/little.h"

#include <xxhash.h>

#include <assert.h>
#include <string.h>

#define LENGTH_AT   8
#define UNKEPT_AT   10
#define KIND_AT     12
#define SIGN_AT     13
#define SEQUENCE_AT 16

#define UNKEPT_MAX UINT16_MAX /* as many or more */

_Static_assert(FRAME_PAYLOAD_MAX <= UINT16_MAX, "the length has 16 bits");
_Static_assert(SEQUENCE_AT + 8 == FRAME_HEAD_BYTES, "the head is whole");

static const uint8_t sign[3] = { 'v', 'g', 'n' };

uint64_t frame_seed(uint64_t directory_id, struct disk_file file)
{
    const bool is_log = file.kind == DISK_LOG;

    return hash_mix(directory_id, file.number * 2 + (is_log ? 1 : 0));
}

static uint64_t checksum(const uint8_t *frame, uint64_t seed, size_t payload_size)
{
    return XXH3_64bits_withSeed(frame + LENGTH_AT, FRAME_HEAD_BYTES - LENGTH_AT + payload_size,
                                seed);
}

size_t frame_seal(uint8_t *to, uint64_t seed, const struct frame *frame)
{
    const uint64_t unkept = frame->sequence - frame->kept;

    assert(frame->payload.size <= FRAME_PAYLOAD_MAX);
    assert(frame->kept <= frame->sequence);
    little_put16(to + LENGTH_AT, (uint16_t)frame->payload.size);
    little_put16(to + UNKEPT_AT, unkept < UNKEPT_MAX ? (uint16_t)unkept : UNKEPT_MAX);
    to[KIND_AT] = frame->kind;
    memcpy(to + SIGN_AT, sign, sizeof sign);
    little_put64(to + SEQUENCE_AT, frame->sequence);
    little_put64(to, checksum(to, seed, frame->payload.size));
    return frame_size(frame);
}

/* Whether a frame could begin here, by all but its checksum. */
static bool is_plausible(const uint8_t *at, size_t left)
{
    return left >= FRAME_HEAD_BYTES && memcmp(at + SIGN_AT, sign, sizeof sign) == 0
           && at[KIND_AT] >= FRAME_BEGIN && at[KIND_AT] < FRAME_KIND_COUNT
           && little_get64(at + SEQUENCE_AT) <= FRAME_SEQUENCE_MAX
           && little_get16(at + LENGTH_AT) <= FRAME_PAYLOAD_MAX
           && little_get16(at + LENGTH_AT) <= left - FRAME_HEAD_BYTES;
}

bool frame_open(struct bytes bytes, uint64_t seed, struct frame *frame_out)
{
    size_t payload_size;
    uint64_t unkept;

    if (!is_plausible(bytes.data, bytes.size)) {
        return false;
    }
    payload_size = little_get16(bytes.data + LENGTH_AT);
    if (little_get64(bytes.data) != checksum(bytes.data, seed, payload_size)) {
        return false;
    }
    *frame_out = (struct frame){ .payload = { bytes.data + FRAME_HEAD_BYTES, payload_size },
                                 .sequence = little_get64(bytes.data + SEQUENCE_AT),
                                 .kind = bytes.data[KIND_AT] };
    unkept = little_get16(bytes.data + UNKEPT_AT);
    if (unkept < UNKEPT_MAX && unkept <= frame_out->sequence) {
        frame_out->kept = frame_out->sequence - unkept;
    }
    return true;
}

size_t frame_search(struct bytes bytes, uint64_t seed, uint64_t sequence)
{
    size_t at = 0;
    struct frame frame;

    while (bytes.size - at >= FRAME_HEAD_BYTES) {
        const uint8_t *found =
            memchr(bytes.data + at + SIGN_AT, sign[0], bytes.size - at - SIGN_AT);

        if (found == NULL) {
            break;
        }
        at = (size_t)(found - bytes.data) - SIGN_AT;
        if (frame_open((struct bytes){ bytes.data + at, bytes.size - at }, seed, &frame)
            && frame.sequence >= sequence) {
            return at;
        }
        at++;
    }
    return bytes.size;
}

bool frame_is_blank(struct bytes bytes)
{
    return bytes.size == 0
           || (bytes.data[0] == 0 && memcmp(bytes.data, bytes.data + 1, bytes.size - 1) == 0);
}

void frame_begin_put(uint8_t to[FRAME_BEGIN_BYTES], const struct frame_begin *begin)
{
    little_put32(to, begin->format);
    little_put64(to + 4, begin->sequence);
}

bool frame_begin_read(struct bytes payload, struct frame_begin *begin)
{
    if (payload.size != FRAME_BEGIN_BYTES || little_get32(payload.data) != FRAME_FORMAT
        || little_get64(payload.data + 4) > FRAME_SEQUENCE_MAX) {
        return false;
    }
    *begin =
        (struct frame_begin){ .format = FRAME_FORMAT, .sequence = little_get64(payload.data + 4) };
    return true;
}

void frame_end_put(uint8_t to[FRAME_END_BYTES], const struct frame_end *end)
{
    little_put64(to, end->keys);
    little_put64(to + 8, end->tombstones);
    little_put64(to + 16, end->elements);
}

bool frame_end_read(struct bytes payload, struct frame_end *end)
{
    if (payload.size != FRAME_END_BYTES) {
        return false;
    }
    *end = (struct frame_end){ .keys = little_get64(payload.data),
                               .tombstones = little_get64(payload.data + 8),
                               .elements = little_get64(payload.data + 16) };
    return true;
}
