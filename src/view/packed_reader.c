#include "view/packed_reader.h"

#include "base/utf8.h"

#include <stdbool.h>
#include <string.h>

#define HEAD_MAX 9 /* a type byte and eight of a number */

/* What may come next. */
enum expect { EXPECT_START, EXPECT_KEY, EXPECT_VECTOR, EXPECT_INDEX, EXPECT_VALUE };

/* What a type byte says. */
enum kind { KIND_NUMBER, KIND_NEGATIVE, KIND_STRING, KIND_MAP, KIND_ARRAY, KIND_OTHER };

struct packed_reader {
    struct draft *draft;
    uint8_t form;    /* enum packed_form */
    uint8_t expect;  /* enum expect */
    uint8_t verdict; /* READ_MORE until it is READ_REFUSED, READ_MEMORY or READ_DONE */
    bool is_finishing;
    bool is_in_string;
    uint8_t head[HEAD_MAX];
    uint8_t head_size;
    uint32_t outer_left; /* keys still to come */
    uint32_t inner_left; /* pairs of the vector still to come */
    uint32_t string_left;
    uint64_t index;
    uint8_t text_size;
    uint8_t text[DRAFT_KEY_MAX];
};

struct packed_reader *packed_reader_create(enum packed_form form, struct draft *draft)
{
    struct packed_reader *reader =
        (struct packed_reader *)mem_alloc_zeroed(draft->mem, sizeof *reader);

    if (reader == NULL) {
        return NULL;
    }
    reader->draft = draft;
    reader->form = (uint8_t)form;
    return reader;
}

void packed_reader_free(struct packed_reader *reader)
{
    if (reader != NULL) {
        mem_free(reader->draft->mem, reader, sizeof *reader);
    }
}

void packed_reader_fill(struct packed_reader *reader, struct draft *draft)
{
    reader->draft = draft;
}

static enum read_event refuse(struct packed_reader *reader, const char *sentence)
{
    struct draft *draft = reader->draft;

    (void)fault_set(&draft->problem.why, STATUS_INVALID, "%s", sentence);
    draft->problem.line = 0;
    draft->problem.pointer_size = 0;
    if (reader->form == PACKED_FORM_BULK && draft->key_size > 0
        && reader->expect >= EXPECT_VECTOR) {
        draft_point(draft, draft_key(draft));
    }
    if (reader->expect == EXPECT_VALUE) {
        draft_point_u64(draft, reader->index);
    }
    reader->verdict = READ_REFUSED;
    return READ_REFUSED;
}

static enum read_event memory(struct packed_reader *reader)
{
    reader->verdict = READ_MEMORY;
    return READ_MEMORY;
}

/* After a whole value of the outermost container: the next one, or the end. */
static enum read_event outer_next(struct packed_reader *reader, enum read_event event)
{
    if (reader->outer_left == 0) {
        reader->verdict = READ_DONE;
        return event;
    }
    reader->expect = EXPECT_KEY;
    return event;
}

static enum read_event finish(struct packed_reader *reader)
{
    const enum read_event event = draft_finish(reader->draft, &reader->index);

    reader->is_finishing = event == READ_BUSY;
    if (event == READ_REFUSED) {
        reader->expect = EXPECT_VALUE;
        return refuse(reader, "an index stands twice in one vector");
    }
    if (event == READ_MEMORY) {
        return memory(reader);
    }
    return event == READ_UPDATE ? outer_next(reader, event) : event;
}

static enum read_event vector_begin(struct packed_reader *reader, uint32_t pairs)
{
    draft_begin(reader->draft);
    reader->inner_left = pairs;
    reader->expect = EXPECT_INDEX;
    return pairs == 0 ? finish(reader) : READ_MORE;
}

static enum read_event start_take(struct packed_reader *reader, enum kind kind, uint64_t number)
{
    if (kind != KIND_MAP) {
        return refuse(reader, "the body must be a map");
    }
    if (reader->form == PACKED_FORM_VECTOR) {
        return vector_begin(reader, (uint32_t)number);
    }
    reader->outer_left = (uint32_t)number;
    return outer_next(reader, READ_MORE);
}

static enum read_event pair_take(struct packed_reader *reader, uint64_t value)
{
    if (!draft_add(reader->draft, reader->index, value)) {
        return memory(reader);
    }
    reader->inner_left--;
    reader->expect = EXPECT_INDEX;
    return reader->inner_left == 0 ? finish(reader) : READ_MORE;
}

static enum read_event string_begin(struct packed_reader *reader, uint64_t size)
{
    if (size > sizeof reader->text) {
        return refuse(reader, "a key is longer than 255 bytes");
    }
    reader->text_size = 0;
    reader->string_left = (uint32_t)size;
    reader->is_in_string = true;
    return READ_MORE;
}

/* A value's head is whole: its kind, and its number, size or count. */
static enum read_event head_take(struct packed_reader *reader, enum kind kind, uint64_t number)
{
    switch ((enum expect)reader->expect) {
    case EXPECT_START: return start_take(reader, kind, number);
    case EXPECT_KEY:
        if (kind != KIND_STRING) {
            return refuse(reader, "a key must be a string");
        }
        return string_begin(reader, number);
    case EXPECT_VECTOR:
        if (kind != KIND_MAP) {
            return refuse(reader, "a key's value must be a map of indices and values");
        }
        return vector_begin(reader, (uint32_t)number);
    case EXPECT_INDEX:
        if (kind != KIND_NUMBER) {
            return refuse(reader, "an index must be an integer 0..18446744073709551615");
        }
        reader->index = number;
        reader->expect = EXPECT_VALUE;
        return READ_MORE;
    case EXPECT_VALUE: break;
    }
    if (kind != KIND_NUMBER) {
        return refuse(reader, kind == KIND_NEGATIVE
                                  ? "a value is negative; values are 0..18446744073709551615"
                                  : "a value must be an integer 0..18446744073709551615");
    }
    return pair_take(reader, number);
}

static enum read_event key_take(struct packed_reader *reader)
{
    struct draft *draft = reader->draft;
    const struct bytes text = { reader->text, reader->text_size };
    bool twice = false;

    if (text.size == 0 || memchr(text.data, 0, text.size) != NULL || !utf8_valid(text)) {
        return refuse(reader, "a key is not 1..255 bytes of UTF-8 without NUL");
    }
    memcpy(draft->key, text.data, text.size);
    draft->key_size = (uint8_t)text.size;
    reader->expect = EXPECT_VECTOR;
    if (!draft_note_key(draft, text, &twice)) {
        return twice ? refuse(reader, "this key stands twice in one map") : memory(reader);
    }
    reader->outer_left--;
    return READ_MORE;
}

static enum read_event string_read(struct packed_reader *reader, struct bytes *rest)
{
    const size_t size = rest->size < reader->string_left ? rest->size : reader->string_left;

    if (size > 0) {
        memcpy(reader->text + reader->text_size, rest->data, size);
        reader->text_size = (uint8_t)(reader->text_size + size);
        reader->string_left -= (uint32_t)size;
        rest->data += size;
        rest->size -= size;
    }
    if (reader->string_left > 0) {
        return READ_MORE;
    }
    reader->is_in_string = false;
    return key_take(reader);
}

/* Kind of a type byte, how many bytes of a number follow it, and the number it holds itself. */
static enum kind kind_of(uint8_t type, unsigned *more, uint64_t *number)
{
    static const struct {
        uint8_t kind;
        uint8_t more;
    } kinds[32] = {
        [0x04] = { KIND_STRING, 1 },   [0x05] = { KIND_STRING, 2 },   /* bin 8, 16 */
        [0x06] = { KIND_STRING, 4 },                                  /* bin 32 */
        [0x0c] = { KIND_NUMBER, 1 },   [0x0d] = { KIND_NUMBER, 2 },   /* uint 8, 16 */
        [0x0e] = { KIND_NUMBER, 4 },   [0x0f] = { KIND_NUMBER, 8 },   /* uint 32, 64 */
        [0x10] = { KIND_NEGATIVE, 1 }, [0x11] = { KIND_NEGATIVE, 2 }, /* int 8, 16 */
        [0x12] = { KIND_NEGATIVE, 4 }, [0x13] = { KIND_NEGATIVE, 8 }, /* int 32, 64 */
        [0x19] = { KIND_STRING, 1 },   [0x1a] = { KIND_STRING, 2 },   /* str 8, 16 */
        [0x1b] = { KIND_STRING, 4 },                                  /* str 32 */
        [0x1c] = { KIND_ARRAY, 2 },    [0x1d] = { KIND_ARRAY, 4 },    /* array 16, 32 */
        [0x1e] = { KIND_MAP, 2 },      [0x1f] = { KIND_MAP, 4 },      /* map 16, 32 */
    };

    *more = 0;
    if (type < 0x80) {
        *number = type;
        return KIND_NUMBER;
    }
    if (type < 0xc0) {
        *number = type < 0xa0 ? type & 0x0fu : type & 0x1fu;
        return type < 0x90 ? KIND_MAP : type < 0xa0 ? KIND_ARRAY : KIND_STRING;
    }
    if (type >= 0xe0) {
        return KIND_NEGATIVE;
    }
    *more = kinds[type & 0x1f].more;
    return *more == 0 ? KIND_OTHER : (enum kind)kinds[type & 0x1f].kind;
}

static enum read_event head_read(struct packed_reader *reader, struct bytes *rest)
{
    uint64_t number = 0;
    unsigned more = 0;
    enum kind kind;

    reader->head[reader->head_size++] = rest->data[0];
    rest->data++;
    rest->size--;
    kind = kind_of(reader->head[0], &more, &number);
    if (reader->head_size <= more) {
        return READ_MORE;
    }
    reader->head_size = 0;
    for (unsigned i = 1; i <= more; i++) {
        number = number << 8 | reader->head[i];
    }
    if (kind == KIND_NEGATIVE && more > 0 && reader->head[1] < 0x80) {
        kind = KIND_NUMBER; /* a signed type that holds no negative number */
    }
    return head_take(reader, kind, number);
}

enum read_event packed_reader_read(struct packed_reader *reader, struct bytes *rest)
{
    if (reader->is_finishing) {
        return finish(reader);
    }
    if (reader->verdict == READ_REFUSED || reader->verdict == READ_MEMORY) {
        return (enum read_event)reader->verdict;
    }
    while (rest->size > 0 || (reader->is_in_string && reader->string_left == 0)) {
        enum read_event event;

        if (reader->verdict == READ_DONE && reader->form == PACKED_FORM_BULK) {
            reader->verdict = READ_MORE;
            reader->expect = EXPECT_START;
        }
        if (reader->verdict == READ_DONE) {
            reader->expect = EXPECT_START;
            return refuse(reader, "something follows the end of the document");
        }
        event = reader->is_in_string ? string_read(reader, rest) : head_read(reader, rest);
        if (event != READ_MORE) {
            return event;
        }
    }
    return READ_MORE;
}

enum read_event packed_reader_end(struct packed_reader *reader)
{
    if (reader->is_finishing) {
        return READ_BUSY;
    }
    if (reader->verdict != READ_MORE) {
        return (enum read_event)reader->verdict;
    }
    return refuse(reader, reader->expect == EXPECT_START && reader->head_size == 0
                              ? "the body is empty"
                              : "the body ends in the middle of something");
}
