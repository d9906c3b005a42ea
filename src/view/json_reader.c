#include "view/json_reader.h"

#include "base/deadline.h"
#include "base/text.h"
#include "base/utf8.h"
#include "view/json_writer.h"

#include <stdbool.h>
#include <string.h>

/* Where in a token the text was left. */
enum lex {
    LEX_BETWEEN,
    LEX_STRING,
    LEX_ESCAPE,
    LEX_HEX,
    LEX_LOW_SLASH, /* a high surrogate came: the \ of the low one must follow */
    LEX_LOW_U,     /* and its u */
    LEX_NUMBER
};

/* What may come next. */
enum expect {
    EXPECT_START,
    EXPECT_FIRST_NAME, /* or the end of the object */
    EXPECT_NAME,
    EXPECT_COLON,
    EXPECT_VALUE,
    EXPECT_COMMA, /* or the end */
    EXPECT_NOTHING
};

/* What it stands in. */
enum place { PLACE_VECTOR, PLACE_BULK, PLACE_LINE };

/* Members of a line. */
enum member {
    MEMBER_KEY,
    MEMBER_VECTOR,
    MEMBER_SIZE,
    MEMBER_DIGEST,
    MEMBER_EXPIRES,
    MEMBER_VIEW,
    MEMBER_GENERATION,
    MEMBER_DELETED, /* the last: of JSON_FORM_EXPORT alone */
    MEMBER_COUNT
};

static const char *const member_names[MEMBER_COUNT] = {
    [MEMBER_KEY] = "key",         [MEMBER_VECTOR] = "vector",         [MEMBER_SIZE] = "size",
    [MEMBER_DIGEST] = "digest",   [MEMBER_EXPIRES] = "expires",       [MEMBER_VIEW] = "view",
    [MEMBER_DELETED] = "deleted", [MEMBER_GENERATION] = "generation",
};

struct json_reader {
    struct draft *draft;
    uint8_t form;      /* enum json_form */
    uint8_t lex;       /* enum lex */
    uint8_t expect;    /* enum expect */
    uint8_t place;     /* enum place */
    uint8_t member;    /* enum member, of the value that comes */
    uint8_t members;   /* set of 1 << enum member that this line had */
    uint8_t verdict;   /* READ_MORE until it is READ_REFUSED or READ_MEMORY */
    bool is_finishing; /* the vector is whole and being sorted */
    bool has_index;    /* an index was read and its value is not yet */
    bool begun;        /* the first byte came */
    bool is_plain;     /* the string had only ASCII so far */
    uint64_t index;    /* name of the value that comes */
    uint64_t line;     /* from 1 */

    uint64_t number;
    bool is_zero_led;  /* the number began with a 0 */
    bool is_too_large; /* above JSON_INTEGER_MAX */
    uint8_t hex_left;
    uint16_t unit;      /* of UTF-16, as its hex digits come */
    uint16_t unit_high; /* a surrogate that waits for the other, or 0 */
    uint8_t text_size;
    uint8_t text[DRAFT_KEY_MAX]; /* of the string that is being read */
};

struct json_reader *json_reader_create(enum json_form form, struct draft *draft)
{
    struct json_reader *reader = (struct json_reader *)mem_alloc_zeroed(draft->mem, sizeof *reader);

    if (reader == NULL) {
        return NULL;
    }
    reader->draft = draft;
    reader->form = (uint8_t)form;
    reader->line = 1;
    return reader;
}

void json_reader_free(struct json_reader *reader)
{
    if (reader != NULL) {
        mem_free(reader->draft->mem, reader, sizeof *reader);
    }
}

void json_reader_fill(struct json_reader *reader, struct draft *draft)
{
    reader->draft = draft;
}

uint64_t json_reader_line(const struct json_reader *reader)
{
    return reader->line;
}

static bool is_of_lines(const struct json_reader *reader)
{
    return reader->form == JSON_FORM_LINES || reader->form == JSON_FORM_EXPORT;
}

/* -- what is wrong ------------------------------------------------------------------------- */

static struct bytes text_of(const struct json_reader *reader)
{
    return (struct bytes){ reader->text, reader->text_size };
}

static struct fault *why_of(struct json_reader *reader)
{
    return &reader->draft->problem.why;
}

/* The sentence is in why_of(); add the place. */
static enum read_event refuse(struct json_reader *reader)
{
    struct draft *draft = reader->draft;

    draft->problem.line = reader->line;
    draft->problem.pointer_size = 0;
    if (reader->form == JSON_FORM_BULK && draft->key_size > 0
        && (reader->place == PLACE_VECTOR || reader->expect == EXPECT_COLON
            || reader->expect == EXPECT_VALUE)) {
        draft_point(draft, draft_key(draft));
    }
    if (is_of_lines(reader) && reader->expect >= EXPECT_COLON && reader->expect != EXPECT_NOTHING) {
        const char *name = member_names[reader->member];

        draft_point(draft, (struct bytes){ (const uint8_t *)name, strlen(name) });
    }
    if (reader->place == PLACE_VECTOR && reader->has_index) {
        draft_point_u64(draft, reader->index);
    }
    reader->verdict = READ_REFUSED;
    return READ_REFUSED;
}

static enum read_event refuse_with(struct json_reader *reader, const char *sentence)
{
    (void)fault_set(why_of(reader), STATUS_INVALID, "%s", sentence);
    return refuse(reader);
}

/* Something of the wrong kind stands where a value belongs. */
static enum read_event refuse_value(struct json_reader *reader, char found)
{
    switch ((enum place)reader->place) {
    case PLACE_VECTOR:
        if (found == '-') {
            (void)fault_set(why_of(reader), STATUS_INVALID,
                            "the value of index %llu is negative; values are "
                            "0..18446744073709551615",
                            (unsigned long long)reader->index);
            return refuse(reader);
        }
        (void)fault_set(why_of(reader), STATUS_INVALID,
                        "the value of index %llu is not a whole number",
                        (unsigned long long)reader->index);
        return refuse(reader);
    case PLACE_BULK:
        return refuse_with(reader, "a key's value must be a vector: an object of indices and "
                                   "values, like {\"0\":3}");
    case PLACE_LINE: break;
    }
    return refuse_with(reader, reader->member == MEMBER_KEY ? "\"key\" must be a string"
                               : reader->member == MEMBER_VECTOR
                                   ? "\"vector\" must be an object of indices and values, "
                                     "like {\"0\":3}"
                                   : "\"size\", \"digest\" and \"view\" must be a string or "
                                     "a number");
}

/* Something stands where the grammar has no place for it. */
static enum read_event refuse_token(struct json_reader *reader, char found)
{
    static const char *const expected[] = {
        [EXPECT_START] = "a JSON object must begin",
        [EXPECT_FIRST_NAME] = "a name in double quotes or the object's } must stand",
        [EXPECT_NAME] = "a name in double quotes must stand",
        [EXPECT_COLON] = "a colon must stand",
        [EXPECT_VALUE] = "a value must stand",
        [EXPECT_COMMA] = "a comma or the end of what was begun must stand",
        [EXPECT_NOTHING] = "nothing more may stand",
    };
    const char *wanted = expected[reader->expect];

    if (found == '\n') {
        return refuse_with(reader, "the line ends in the middle of its object");
    }
    if (found == '0') {
        (void)fault_set(why_of(reader), STATUS_INVALID, "%s where a number is", wanted);
    } else if (found > ' ' && found < 0x7f) {
        (void)fault_set(why_of(reader), STATUS_INVALID, "%s where %c is", wanted, found);
    } else {
        (void)fault_set(why_of(reader), STATUS_INVALID, "%s where byte 0x%02x is", wanted,
                        (unsigned)(uint8_t)found);
    }
    return refuse(reader);
}

/* -- what tokens mean ---------------------------------------------------------------------- */

static enum read_event key_take(struct json_reader *reader)
{
    struct draft *draft = reader->draft;
    const struct bytes text = text_of(reader);

    if (text.size == 0) {
        return refuse_with(reader, "a key is empty; keys are 1..255 bytes");
    }
    if (memchr(text.data, 0, text.size) != NULL) {
        return refuse_with(reader, "a key has a NUL character in it");
    }
    memcpy(draft->key, text.data, text.size);
    draft->key_size = (uint8_t)text.size;
    return READ_MORE;
}

static enum read_event name_of_bulk(struct json_reader *reader)
{
    struct draft *draft = reader->draft;
    enum read_event event;
    bool twice = false;

    draft->key_size = 0;
    event = key_take(reader);
    if (event != READ_MORE) {
        return event;
    }
    if (!draft_note_key(draft, draft_key(draft), &twice)) {
        if (!twice) {
            reader->verdict = READ_MEMORY;
            return READ_MEMORY;
        }
        return refuse_with(reader, "this key stands twice in one object");
    }
    draft_begin(draft);
    return READ_MORE;
}

static enum read_event name_of_line(struct json_reader *reader)
{
    const bool is_export = reader->form == JSON_FORM_EXPORT;

    for (unsigned i = 0; i < (is_export ? MEMBER_COUNT : MEMBER_DELETED); i++) {
        if (text_is(text_of(reader), member_names[i])) {
            reader->member = (uint8_t)i;
            if ((reader->members >> i & 1) != 0) {
                return refuse_with(reader, "this member stands twice in one object");
            }
            reader->members = (uint8_t)(reader->members | 1u << i);
            return READ_MORE;
        }
    }
    reader->expect = EXPECT_NAME;
    (void)refuse_with(reader, text_is(text_of(reader), member_names[MEMBER_DELETED])
                                  ? "a line is a deletion; vignetted --import takes those"
                                  : "a line has a member that is neither \"key\" nor \"vector\"");
    draft_point(reader->draft, text_of(reader));
    return READ_REFUSED;
}

static enum read_event name_take(struct json_reader *reader)
{
    reader->expect = EXPECT_COLON;
    if (reader->place == PLACE_BULK) {
        return name_of_bulk(reader);
    }
    if (reader->place == PLACE_LINE) {
        return name_of_line(reader);
    }
    if (!text_get_u64(text_of(reader), &reader->index)) {
        (void)refuse_with(reader, "a name is not an index; indices are decimal digits without "
                                  "leading zeros, 0..18446744073709551615");
        draft_point(reader->draft, text_of(reader));
        return READ_REFUSED;
    }
    reader->has_index = true;
    return READ_MORE;
}

/* A string that stands as the value of an index. */
static enum read_event value_of_string(struct json_reader *reader, uint64_t *value_out)
{
    const struct bytes text = text_of(reader);

    if (text_get_u64(text, value_out)) {
        return READ_MORE;
    }
    if (text.size > 1 && text.data[0] == '-') {
        return refuse_value(reader, '-');
    }
    (void)fault_set(why_of(reader), STATUS_INVALID,
                    "the value of index %llu is a string that is not a decimal number "
                    "0..18446744073709551615",
                    (unsigned long long)reader->index);
    return refuse(reader);
}

static enum read_event value_of_vector(struct json_reader *reader, char token)
{
    uint64_t value = reader->number;
    enum read_event event = READ_MORE;

    if (token == '"') {
        event = value_of_string(reader, &value);
    } else if (token != '0') {
        event = refuse_value(reader, token);
    }
    if (event != READ_MORE) {
        return event;
    }
    if (!draft_add(reader->draft, reader->index, value)) {
        reader->verdict = READ_MEMORY;
        return READ_MEMORY;
    }
    reader->has_index = false;
    reader->expect = EXPECT_COMMA;
    return READ_MORE;
}

/* What only such lines say. */
static enum read_event value_of_export(struct json_reader *reader, char token)
{
    struct draft *draft = reader->draft;

    if (reader->member == MEMBER_EXPIRES) {
        draft->deadline =
            deadline_of(text_of(reader)); /* none in lines of keys, whose names say it */
        return READ_MORE;
    }
    if (reader->member == MEMBER_DELETED) {
        draft->is_deletion = token == '"' && text_get_hex64(text_of(reader), &draft->deleted);
        return draft->is_deletion
                   ? READ_MORE
                   : refuse_with(reader, "\"deleted\" must be a string of hexadecimal digits");
    }
    if (token != '0' || reader->number == 0 || reader->number > UINT32_MAX) {
        return refuse_with(reader, "\"generation\" must be a whole number 1..4294967295");
    }
    draft->generation = (uint32_t)reader->number;
    return READ_MORE;
}

static enum read_event value_of_line(struct json_reader *reader, char token)
{
    enum read_event event = READ_MORE;

    if (reader->member == MEMBER_VECTOR && token == '{') {
        reader->place = PLACE_VECTOR;
        reader->expect = EXPECT_FIRST_NAME;
        return READ_MORE;
    }
    if (reader->member == MEMBER_VECTOR
        || (token != '"' && (reader->member == MEMBER_KEY || token != '0'))) {
        return refuse_value(reader, token);
    }
    if (reader->member == MEMBER_KEY) {
        event = key_take(reader);
    } else if (reader->form == JSON_FORM_EXPORT
               && (reader->member >= MEMBER_GENERATION
                   || (reader->member == MEMBER_EXPIRES && token == '"'))) {
        event = value_of_export(reader, token);
    }
    if (event == READ_MORE) {
        reader->expect = EXPECT_COMMA;
    }
    return event;
}

static enum read_event value_take(struct json_reader *reader, char token)
{
    switch ((enum place)reader->place) {
    case PLACE_VECTOR: return value_of_vector(reader, token);
    case PLACE_LINE: return value_of_line(reader, token);
    case PLACE_BULK: break;
    }
    if (token != '{') {
        return refuse_value(reader, token);
    }
    reader->place = PLACE_VECTOR;
    reader->expect = EXPECT_FIRST_NAME;
    return READ_MORE;
}

static enum read_event start_take(struct json_reader *reader, char token)
{
    static const uint8_t places[] = { [JSON_FORM_VECTOR] = PLACE_VECTOR,
                                      [JSON_FORM_BULK] = PLACE_BULK,
                                      [JSON_FORM_LINES] = PLACE_LINE,
                                      [JSON_FORM_EXPORT] = PLACE_LINE };

    if (token != '{') {
        return refuse_token(reader, token);
    }
    reader->place = places[reader->form];
    reader->expect = EXPECT_FIRST_NAME;
    reader->members = 0;
    reader->draft->key_size = 0;
    draft_begin(reader->draft);
    return READ_MORE;
}

/* Sort what came out of order; the vector is then whole. */
static enum read_event finish(struct json_reader *reader)
{
    uint64_t index = 0;
    const enum read_event event = draft_finish(reader->draft, &index);

    if (event == READ_REFUSED) {
        reader->place = PLACE_VECTOR;
        reader->has_index = true;
        reader->index = index;
        reader->member = MEMBER_VECTOR;
        reader->expect = EXPECT_VALUE;
        return refuse_with(reader, "an index stands twice in one vector");
    }
    if (event == READ_MEMORY) {
        reader->verdict = READ_MEMORY;
    }
    reader->is_finishing = event == READ_BUSY;
    return event;
}

static enum read_event close_take(struct json_reader *reader)
{
    if (reader->place == PLACE_LINE) {
        const unsigned needed = 1u << MEMBER_KEY | 1u << MEMBER_VECTOR;
        const unsigned deletion = 1u << MEMBER_DELETED | 1u << MEMBER_GENERATION;
        const unsigned end = reader->draft->deadline == DEADLINE_NONE ? 0 : 1u << MEMBER_EXPIRES;

        reader->expect = EXPECT_NOTHING;
        if (reader->draft->is_deletion) {
            return reader->members == (deletion | end)
                       ? finish(reader)
                       : refuse_with(reader, "a line with \"deleted\" has a \"generation\" and "
                                             "nothing else");
        }
        if ((reader->members & needed) != needed) {
            return refuse_with(reader, (reader->members >> MEMBER_KEY & 1) == 0
                                           ? "the line has no \"key\""
                                           : "the line has no \"vector\"");
        }
        return finish(reader);
    }
    if (reader->place != PLACE_VECTOR) {
        reader->expect = EXPECT_NOTHING;
        return READ_MORE;
    }
    reader->expect = EXPECT_COMMA;
    if (is_of_lines(reader)) {
        reader->place = PLACE_LINE;
        return READ_MORE;
    }
    if (reader->form == JSON_FORM_VECTOR) {
        reader->expect = EXPECT_NOTHING;
    } else {
        reader->place = PLACE_BULK;
    }
    return finish(reader);
}

/* One token: a bracket, ':', ',', '"' for a string, '0' for a number, or a byte that is none. */
static enum read_event token_take(struct json_reader *reader, char token)
{
    switch ((enum expect)reader->expect) {
    case EXPECT_START: return start_take(reader, token);
    case EXPECT_FIRST_NAME:
    case EXPECT_NAME:
        if (token == '"') {
            return name_take(reader);
        }
        if (token == '}' && reader->expect == EXPECT_FIRST_NAME) {
            return close_take(reader);
        }
        return refuse_token(reader, token);
    case EXPECT_COLON:
        if (token != ':') {
            return refuse_token(reader, token);
        }
        reader->expect = EXPECT_VALUE;
        return READ_MORE;
    case EXPECT_VALUE: return value_take(reader, token);
    case EXPECT_COMMA:
        if (token == '}') {
            return close_take(reader);
        }
        if (token != ',') {
            return refuse_token(reader, token);
        }
        reader->expect = EXPECT_NAME;
        return READ_MORE;
    case EXPECT_NOTHING: break;
    }
    return refuse_token(reader, token);
}

/* -- tokens -------------------------------------------------------------------------------- */

static enum read_event newline_take(struct json_reader *reader)
{
    if (is_of_lines(reader)) {
        if (reader->expect != EXPECT_START && reader->expect != EXPECT_NOTHING) {
            return refuse_token(reader, '\n');
        }
        reader->expect = EXPECT_START;
    }
    reader->line++;
    return READ_MORE;
}

static enum read_event between(struct json_reader *reader, struct bytes *rest)
{
    const uint8_t byte = rest->data[0];

    if (byte >= '0' && byte <= '9') {
        reader->lex = LEX_NUMBER;
        reader->number = 0;
        reader->is_zero_led = false;
        reader->is_too_large = false;
        return READ_MORE;
    }
    rest->data++;
    rest->size--;
    switch (byte) {
    case '"':
        reader->lex = LEX_STRING;
        reader->text_size = 0;
        reader->is_plain = true;
        return READ_MORE;
    case ' ':
    case '\t':
    case '\r': return READ_MORE;
    case '\n': return newline_take(reader);
    default: break;
    }
    if (!reader->begun && byte == 0xef) {
        return refuse_with(reader, "the text begins with a byte order mark; JSON has none");
    }
    return token_take(reader, (char)byte);
}

static enum read_event number_end(struct json_reader *reader, uint8_t next)
{
    reader->lex = LEX_BETWEEN;
    if (next == '.' || next == 'e' || next == 'E') {
        return refuse_with(reader, "a number has a fraction or an exponent; write whole numbers "
                                   "as digits alone");
    }
    if (reader->is_too_large) {
        return refuse_with(reader, "a number is above 9007199254740991, which readers of JSON "
                                   "round; write it as a string of digits");
    }
    return token_take(reader, '0');
}

/* A number ends at the first byte that is not of it, which stays for the next token. */
static enum read_event number(struct json_reader *reader, struct bytes *rest)
{
    while (rest->size > 0) {
        const uint8_t byte = rest->data[0];

        if (byte < '0' || byte > '9') {
            return number_end(reader, byte);
        }
        if (reader->is_zero_led) {
            return refuse_with(reader, "a number has leading zeros");
        }
        reader->is_zero_led = reader->number == 0 && byte == '0';
        if (reader->number > JSON_INTEGER_MAX / 10) {
            reader->is_too_large = true;
        } else {
            reader->number = reader->number * 10 + (uint64_t)(byte - '0');
            reader->is_too_large |= reader->number > JSON_INTEGER_MAX;
        }
        rest->data++;
        rest->size--;
    }
    return READ_MORE;
}

static enum read_event text_put(struct json_reader *reader, const uint8_t *from, size_t size)
{
    if (size > sizeof reader->text - reader->text_size) {
        (void)fault_set(why_of(reader), STATUS_INVALID, "a string is longer than %zu bytes",
                        sizeof reader->text);
        return refuse(reader);
    }
    memcpy(reader->text + reader->text_size, from, size);
    reader->text_size = (uint8_t)(reader->text_size + size);
    return READ_MORE;
}

static enum read_event string_end(struct json_reader *reader)
{
    reader->lex = LEX_BETWEEN;
    if (!reader->is_plain && !utf8_valid(text_of(reader))) {
        return refuse_with(reader, "a string is not valid UTF-8");
    }
    return token_take(reader, '"');
}

static enum read_event string(struct json_reader *reader, struct bytes *rest)
{
    const uint8_t *const from = rest->data;
    size_t size = 0;
    uint8_t all = 0;
    enum read_event event;

    while (size < rest->size && from[size] >= 0x20 && from[size] != '"' && from[size] != '\\') {
        all |= from[size];
        size++;
    }
    reader->is_plain = reader->is_plain && all < 0x80;
    event = text_put(reader, from, size);
    rest->data += size;
    rest->size -= size;
    if (event != READ_MORE || rest->size == 0) {
        return event;
    }
    rest->data++;
    rest->size--;
    if (from[size] == '"') {
        return string_end(reader);
    }
    if (from[size] == '\\') {
        reader->lex = LEX_ESCAPE;
        return READ_MORE;
    }
    return refuse_with(reader, "a string has a control character in it; write it as an escape");
}

static enum read_event escape(struct json_reader *reader, uint8_t byte)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    const char *found = byte == 0 ? NULL : strchr(from, byte);
    uint8_t meant;

    if (byte == 'u') {
        reader->lex = LEX_HEX;
        reader->hex_left = 4;
        reader->unit = 0;
        reader->unit_high = 0;
        return READ_MORE;
    }
    if (found == NULL) {
        return refuse_with(reader, "a string has an escape that JSON does not know");
    }
    meant = (uint8_t)to[found - from];
    reader->lex = LEX_STRING;
    return text_put(reader, &meant, 1);
}

/* The UTF-8 of a code point that is no surrogate; returns its size. */
static size_t utf8_to(uint8_t to[4], uint32_t point)
{
    if (point < 0x80) {
        to[0] = (uint8_t)point;
        return 1;
    }
    if (point < 0x800) {
        to[0] = (uint8_t)(0xc0 | point >> 6);
        to[1] = (uint8_t)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        to[0] = (uint8_t)(0xe0 | point >> 12);
        to[1] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
        to[2] = (uint8_t)(0x80 | (point & 0x3f));
        return 3;
    }
    to[0] = (uint8_t)(0xf0 | point >> 18);
    to[1] = (uint8_t)(0x80 | (point >> 12 & 0x3f));
    to[2] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
    to[3] = (uint8_t)(0x80 | (point & 0x3f));
    return 4;
}

/* Four hex digits are there: a code point, or half of one. */
static enum read_event unit_take(struct json_reader *reader)
{
    const uint32_t unit = reader->unit;
    const bool is_low = unit >= 0xdc00 && unit <= 0xdfff;
    uint32_t point = unit;
    uint8_t utf8[4];

    if (is_low != (reader->unit_high != 0)) {
        return refuse_with(reader, "a string has half of a surrogate pair");
    }
    if (unit >= 0xd800 && unit <= 0xdbff) {
        reader->unit_high = reader->unit;
        reader->lex = LEX_LOW_SLASH;
        return READ_MORE;
    }
    if (is_low) {
        point = 0x10000 + ((uint32_t)(reader->unit_high - 0xd800) << 10) + (unit - 0xdc00);
    }
    reader->lex = LEX_STRING;
    return text_put(reader, utf8, utf8_to(utf8, point));
}

static enum read_event hex(struct json_reader *reader, uint8_t byte)
{
    unsigned digit;

    if (byte >= '0' && byte <= '9') {
        digit = byte - (unsigned)'0';
    } else if ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'f') {
        digit = (byte | 0x20u) - 'a' + 10u;
    } else {
        return refuse_with(reader, "a string has a \\u without four hex digits");
    }
    reader->unit = (uint16_t)((unsigned)reader->unit << 4 | digit);
    reader->hex_left--;
    return reader->hex_left > 0 ? READ_MORE : unit_take(reader);
}

/* The bytes of an escape, one at a time. */
static enum read_event escaped(struct json_reader *reader, struct bytes *rest)
{
    const uint8_t byte = rest->data[0];

    rest->data++;
    rest->size--;
    if (reader->lex == LEX_ESCAPE) {
        return escape(reader, byte);
    }
    if (reader->lex == LEX_HEX) {
        return hex(reader, byte);
    }
    if (byte != (reader->lex == LEX_LOW_SLASH ? '\\' : 'u')) {
        return refuse_with(reader, "a string has half of a surrogate pair");
    }
    if (reader->lex == LEX_LOW_SLASH) {
        reader->lex = LEX_LOW_U;
        return READ_MORE;
    }
    reader->lex = LEX_HEX;
    reader->hex_left = 4;
    reader->unit = 0;
    return READ_MORE;
}

enum read_event json_reader_read(struct json_reader *reader, struct bytes *rest)
{
    enum read_event event = (enum read_event)reader->verdict;

    if (reader->is_finishing) {
        return finish(reader);
    }
    while (event == READ_MORE && rest->size > 0) {
        switch ((enum lex)reader->lex) {
        case LEX_BETWEEN: event = between(reader, rest); break;
        case LEX_STRING: event = string(reader, rest); break;
        case LEX_NUMBER: event = number(reader, rest); break;
        case LEX_ESCAPE:
        case LEX_HEX:
        case LEX_LOW_SLASH:
        case LEX_LOW_U: event = escaped(reader, rest); break;
        }
        reader->begun = true;
    }
    return event;
}

enum read_event json_reader_end(struct json_reader *reader)
{
    const bool is_lines = is_of_lines(reader);

    if (reader->is_finishing) {
        return READ_BUSY;
    }
    if (reader->verdict != READ_MORE) {
        return (enum read_event)reader->verdict;
    }
    if (reader->lex == LEX_BETWEEN
        && (reader->expect == EXPECT_NOTHING || (is_lines && reader->expect == EXPECT_START))) {
        return READ_DONE;
    }
    if (!reader->begun) {
        return refuse_with(reader, "the body is empty");
    }
    return refuse_with(reader, "the text ends in the middle of something");
}
