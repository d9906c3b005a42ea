#include "view/json_writer.h"

#include "base/text.h"

#include <assert.h>
#include <string.h>

#define PAIR_MAX     64 /* ,"index":"value" with twice twenty digits */
#define DECIMALS_MAX 6

_Static_assert(PAIR_MAX <= OUTPUT_SPACE_MIN, "a pair goes in one piece");

static void put_line(struct json_writer *json)
{
    output_put_byte(json->output, '\n');
    for (unsigned i = 0; i < json->depth; i++) {
        output_put_byte(json->output, ' ');
        output_put_byte(json->output, ' ');
    }
}

/* What stands between the values of an array, and in front of an object's names. */
static void put_comma(struct json_writer *json)
{
    if (json->after_name) {
        json->after_name = false;
    } else {
        if (json->comma) {
            output_put_byte(json->output, ',');
        }
        if (json->is_pretty && json->depth > 0) {
            put_line(json);
        }
    }
    json->comma = true;
}

void json_begin(struct json_writer *json, struct output *output, bool is_pretty)
{
    *json = (struct json_writer){ .output = output, .is_pretty = is_pretty };
}

void json_restart(struct json_writer *json)
{
    json_begin(json, json->output, false);
}

static void begin(struct json_writer *json, char bracket)
{
    put_comma(json);
    output_put_byte(json->output, bracket);
    json->comma = false;
    json->depth++;
}

static void end(struct json_writer *json, char bracket)
{
    assert(json->depth > 0);
    json->depth--;
    if (json->is_pretty && json->comma) {
        put_line(json);
    }
    output_put_byte(json->output, bracket);
    json->comma = true;
}

void json_begin_object(struct json_writer *json)
{
    begin(json, '{');
}

void json_end_object(struct json_writer *json)
{
    end(json, '}');
}

void json_begin_array(struct json_writer *json)
{
    begin(json, '[');
}

void json_end_array(struct json_writer *json)
{
    end(json, ']');
}

/* How many bytes from the front of a string need an escape: 0 none, else the length of the
 * sequence; the code point is written to *point. All that is escaped is below U+10000. */
static size_t escape_size(struct bytes rest, unsigned *point)
{
    const uint8_t first = rest.data[0];

    if (first < 0x20 || first == 0x7f || first == '"' || first == '\\') {
        *point = first;
        return 1;
    }
    if (first == 0xc2 && rest.size >= 2 && rest.data[1] < 0xa0) {
        *point = rest.data[1];
        return 2;
    }
    if (first == 0xe2 && rest.size >= 3 && rest.data[1] == 0x80 && (rest.data[2] | 1) == 0xa9) {
        *point = 0x2000u | (rest.data[2] & 0x3fu);
        return 3;
    }
    return 0;
}

static void put_escape(struct json_writer *json, unsigned point)
{
    static const char hex[] = "0123456789abcdef";
    static const char short_from[] = "\"\\\b\f\n\r\t";
    static const char short_to[] = "\"\\bfnrt";
    const char *found = point == 0 || point > 0x7f ? NULL : strchr(short_from, (int)point);
    char text[6] = { '\\', 'u', '0', '0', '0', '0' };

    if (found != NULL) {
        text[1] = short_to[found - short_from];
        output_put(json->output, (struct bytes){ (const uint8_t *)text, 2 });
        return;
    }
    text[2] = hex[point >> 12 & 15];
    text[3] = hex[point >> 8 & 15];
    text[4] = hex[point >> 4 & 15];
    text[5] = hex[point & 15];
    output_put(json->output, (struct bytes){ (const uint8_t *)text, sizeof text });
}

static void put_string(struct json_writer *json, struct bytes string)
{
    size_t plain = 0; /* where what was not yet written begins */

    output_put_byte(json->output, '"');
    for (size_t i = 0; i < string.size;) {
        unsigned point = 0;
        const size_t size = escape_size((struct bytes){ string.data + i, string.size - i }, &point);

        if (size == 0) {
            i++;
            continue;
        }
        output_put(json->output, (struct bytes){ string.data + plain, i - plain });
        put_escape(json, point);
        i += size;
        plain = i;
    }
    output_put(json->output, (struct bytes){ string.data + plain, string.size - plain });
    output_put_byte(json->output, '"');
}

void json_name_bytes(struct json_writer *json, struct bytes name)
{
    put_comma(json);
    put_string(json, name);
    output_put_byte(json->output, ':');
    if (json->is_pretty) {
        output_put_byte(json->output, ' ');
    }
    json->after_name = true;
}

void json_name(struct json_writer *json, const char *name)
{
    json_name_bytes(json, (struct bytes){ (const uint8_t *)name, strlen(name) });
}

void json_string(struct json_writer *json, struct bytes string)
{
    put_comma(json);
    put_string(json, string);
}

void json_text(struct json_writer *json, const char *text)
{
    json_string(json, (struct bytes){ (const uint8_t *)text, strlen(text) });
}

void json_bool(struct json_writer *json, bool truth)
{
    put_comma(json);
    output_put_text(json->output, truth ? "true" : "false");
}

/* A number as json_u64() writes it; returns its size. */
static size_t u64_to(char *to, uint64_t number)
{
    size_t size;

    if (number <= JSON_INTEGER_MAX) {
        return text_put_u64(to, number);
    }
    to[0] = '"';
    size = 1 + text_put_u64(to + 1, number);
    to[size] = '"';
    return size + 1;
}

void json_u64(struct json_writer *json, uint64_t number)
{
    char text[TEXT_U64_MAX + 2];
    const size_t size = u64_to(text, number);

    put_comma(json);
    output_put(json->output, (struct bytes){ (const uint8_t *)text, size });
}

void json_hex64(struct json_writer *json, uint64_t number)
{
    char text[18];

    text[0] = '"';
    text_put_hex64(text + 1, number);
    text[17] = '"';
    put_comma(json);
    output_put(json->output, (struct bytes){ (const uint8_t *)text, sizeof text });
}

void json_decimal(struct json_writer *json, double number, unsigned decimals)
{
    char text[2 * TEXT_U64_MAX + 2];
    double scale = 1;
    size_t size = 0;
    uint64_t scaled;
    uint64_t unit = 1;

    assert(decimals <= DECIMALS_MAX);
    for (unsigned i = 0; i < decimals; i++) {
        scale *= 10;
        unit *= 10;
    }
    put_comma(json);
    if (!(number * scale < 1e18 && number * scale > -1e18)) {
        output_put_text(json->output, "null");
        return;
    }
    scaled = (uint64_t)((number < 0 ? -number : number) * scale + 0.5);
    if (number < 0 && scaled > 0) {
        text[size++] = '-';
    }
    size += text_put_u64(text + size, scaled / unit);
    if (scaled % unit > 0) {
        text[size++] = '.';
    }
    while (scaled % unit > 0) {
        scaled %= unit;
        unit /= 10;
        text[size++] = (char)('0' + scaled / unit);
    }
    output_put(json->output, (struct bytes){ (const uint8_t *)text, size });
}

static void put_pair(struct json_writer *json, uint64_t index, uint64_t value)
{
    uint8_t *to = output_room(json->output, PAIR_MAX);
    size_t size = 0;

    if (json->comma) {
        to[size++] = ',';
    }
    to[size++] = '"';
    size += text_put_u64((char *)to + size, index);
    to[size++] = '"';
    to[size++] = ':';
    size += u64_to((char *)to + size, value);
    output_commit(json->output, size);
    json->comma = true;
}

static void put_pair_pretty(struct json_writer *json, uint64_t index, uint64_t value)
{
    char text[TEXT_U64_MAX];
    const size_t size = text_put_u64(text, index);

    json_name_bytes(json, (struct bytes){ (const uint8_t *)text, size });
    json_u64(json, value);
}

/* The hot loop of reading a vector; counted by bench/run. */
void json_elements(struct json_writer *json, const struct block *block, const struct mark *mark)
{
    const uint64_t base = block->number << 8;

    for (unsigned i = 0; i < block->count; i++) {
        const unsigned offset = block_offset(block, i);
        uint64_t value;

        if (mark != NULL && !mark_has(mark, offset)) {
            continue;
        }
        value = block_value(block, i);
        if (value == 0) {
            continue;
        }
        if (json->is_pretty) {
            put_pair_pretty(json, base | offset, value);
        } else {
            put_pair(json, base | offset, value);
        }
    }
}
