#include "http/request.h"

#include "base/address.h"
#include "base/utf8.h"

#include <event2/keyvalq_struct.h>

#include <assert.h>
#include <string.h>
#include <strings.h>

/* Where the authority of an absolute form begins; NULL: it is none. */
static const char *authority_of(const char *uri)
{
    if (strncasecmp(uri, "http://", 7) == 0) {
        return uri + 7;
    }
    return strncasecmp(uri, "https://", 8) == 0 ? uri + 8 : NULL;
}

bool request_target_read(const char *uri, struct request_target *target_out)
{
    const char *authority = authority_of(uri);
    const char *path = authority == NULL ? uri : authority + strcspn(authority, "/?");
    const char *query = path + strcspn(path, "?");
    struct request_target target = { 0 };

    for (const char *at = uri; *at != '\0'; at++) {
        const unsigned char byte = (unsigned char)*at;

        if (byte <= ' ' || byte >= 0x7f || byte == '#') {
            return false;
        }
    }
    if (authority != NULL) {
        target.authority = (struct bytes){ (const uint8_t *)authority, (size_t)(path - authority) };
    }
    if (authority != NULL ? path == authority : path[0] != '/' || path[1] == '/') {
        return false;
    }
    path += *path == '/';
    target.path = (struct bytes){ (const uint8_t *)path, (size_t)(query - path) };
    if (*query == '?') {
        target.query = (struct bytes){ (const uint8_t *)query + 1, strlen(query + 1) };
    }
    *target_out = target;
    return true;
}

/* 0..15, or -1. */
static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    if (byte >= 'a' && byte <= 'f') {
        return byte - 'a' + 10;
    }
    if (byte >= 'A' && byte <= 'F') {
        return byte - 'A' + 10;
    }
    return -1;
}

bool request_decode(struct bytes raw, bool plus, uint8_t *to, size_t *size_out)
{
    size_t size = 0;

    for (size_t i = 0; i < raw.size; i++) {
        const uint8_t byte = raw.data[i];

        if (byte == '%') {
            int high;
            int low;

            if (raw.size - i < 3) {
                return false;
            }
            high = hex_digit(raw.data[i + 1]);
            low = hex_digit(raw.data[i + 2]);
            if (high < 0 || low < 0) {
                return false;
            }
            to[size++] = (uint8_t)(high << 4 | low);
            i += 2;
        } else if (byte == '+' && plus) {
            to[size++] = ' ';
        } else {
            to[size++] = byte;
        }
    }
    *size_out = size;
    return true;
}

/* Decode a piece of the query at *to and move *to behind it. */
static bool query_text(struct bytes raw, uint8_t **to, struct bytes *text_out)
{
    size_t size;

    if (!request_decode(raw, true, *to, &size)) {
        return false;
    }
    *text_out = (struct bytes){ *to, size };
    *to += size;
    return utf8_valid(*text_out) && (size == 0 || memchr(text_out->data, 0, size) == NULL);
}

/* One "name=value", or a name alone. */
static bool query_parameter(struct bytes raw, uint8_t **to, struct request_parameter *parameter)
{
    const uint8_t *equals = memchr(raw.data, '=', raw.size);
    const size_t name_size = equals == NULL ? raw.size : (size_t)(equals - raw.data);
    const struct bytes name = { raw.data, name_size };
    struct bytes value = { NULL, 0 };

    if (equals != NULL) {
        value = (struct bytes){ equals + 1, raw.size - name_size - 1 };
    }
    return query_text(name, to, &parameter->name) && query_text(value, to, &parameter->value);
}

/* How many there are; what stands between two '&' may be empty, and then is none. */
static size_t parameters_count(struct bytes raw)
{
    size_t count = 0;

    for (size_t i = 0; i < raw.size; i++) {
        count += raw.data[i] != '&' && (i == 0 || raw.data[i - 1] == '&');
    }
    return count;
}

enum request_query_status request_query_read(struct bytes raw, struct mem *mem,
                                             struct request_query *query)
{
    const size_t count = parameters_count(raw);
    size_t begin = 0;
    uint8_t *to;

    if (count == 0) {
        return REQUEST_QUERY_OK;
    }
    if (count > REQUEST_PARAMETERS_MAX) {
        return REQUEST_QUERY_MANY;
    }
    query->size = count * sizeof *query->list + raw.size;
    query->list = mem_alloc(mem, query->size);
    if (query->list == NULL) {
        query->size = 0;
        return REQUEST_QUERY_MEMORY;
    }
    to = (uint8_t *)(query->list + count);
    for (size_t i = 0; i <= raw.size; i++) {
        if (i < raw.size && raw.data[i] != '&') {
            continue;
        }
        if (i > begin) {
            const struct bytes piece = { raw.data + begin, i - begin };

            if (!query_parameter(piece, &to, &query->list[query->count])) {
                return REQUEST_QUERY_INVALID;
            }
            query->count++;
        }
        begin = i + 1;
    }
    return REQUEST_QUERY_OK;
}

void request_query_clear(struct request_query *query, struct mem *mem)
{
    mem_free(mem, query->list, query->size);
    *query = (struct request_query){ 0 };
}

bool request_flag_read(struct bytes text, bool *on_out)
{
    static const struct {
        const char *word;
        bool is_on;
    } words[] = { { "", true },   { "1", true },   { "true", true },  { "yes", true },
                  { "0", false }, { "no", false }, { "false", false } };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strlen(words[i].word) == text.size
            && strncasecmp(words[i].word, (const char *)text.data, text.size) == 0) {
            *on_out = words[i].is_on;
            return true;
        }
    }
    return false;
}

bool request_words_have(const char *words, struct bytes name)
{
    while (words != NULL && *words != '\0') {
        const size_t size = strcspn(words, " ");

        if (size == name.size && memcmp(words, name.data, size) == 0) {
            return true;
        }
        words += size;
        words += *words == ' ';
    }
    return false;
}

/* A header name that evhttp took: it splits at the first ':', and leaves everything before. */
static bool header_name_is_token(const char *name)
{
    if (*name == '\0') {
        return false;
    }
    for (; *name != '\0'; name++) {
        const unsigned char byte = (unsigned char)*name;

        if (byte <= ' ' || byte >= 0x7f) {
            return false;
        }
    }
    return true;
}

static bool text_is_digits(const char *text)
{
    return *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}

const char *request_framing_fault(const struct evkeyvalq *headers, struct request_framing framing)
{
    const struct evkeyval *header;
    const char *length = NULL;
    size_t hosts = 0;
    size_t lengths = 0;
    size_t encodings = 0;

    for (header = headers->tqh_first; header != NULL; header = header->next.tqe_next) {
        if (!header_name_is_token(header->key)) {
            return "a header's name is empty or has a space or control byte";
        }
        if (strcasecmp(header->key, "Host") == 0) {
            hosts++;
        } else if (strcasecmp(header->key, "Content-Length") == 0) {
            lengths++;
            length = header->value;
            if (!text_is_digits(length)) {
                return "Content-Length is not a plain number";
            }
        } else if (strcasecmp(header->key, "Transfer-Encoding") == 0) {
            encodings++;
            if (strcasecmp(header->value, "chunked") != 0) {
                return "Transfer-Encoding is not exactly chunked";
            }
        }
    }
    if (lengths + encodings > 1) {
        return "the body's length is given more than once";
    }
    if (hosts > 1 || (hosts == 0 && framing.has_host_rule)) {
        return "there is not exactly one Host";
    }
    if (encodings > 0 && framing.has_old_syntax) {
        return "Transfer-Encoding came with HTTP/1.1";
    }
    if (framing.takes_no_body
        && (encodings > 0 || (lengths > 0 && length[strspn(length, "0")] != '\0'))) {
        return "this method takes no body";
    }
    return NULL;
}

/* The host of "host", "host:port" or "[address]:port", without brackets and trailing dot. False
 * when there is something else after it. */
static bool host_read(struct bytes text, struct bytes *host_out)
{
    const bool is_literal = text.size > 0 && text.data[0] == '[';
    size_t from = is_literal ? 1 : 0;
    size_t to = from;
    size_t rest;

    while (to < text.size && text.data[to] != (is_literal ? ']' : ':')) {
        to++;
    }
    if (is_literal && to == text.size) {
        return false;
    }
    rest = is_literal ? to + 1 : to;
    if (rest < text.size && text.data[rest] == ':') {
        rest++;
        while (rest < text.size && text.data[rest] >= '0' && text.data[rest] <= '9') {
            rest++;
        }
    }
    if (rest < text.size) {
        return false;
    }
    if (to > from && text.data[to - 1] == '.') {
        to--;
    }
    *host_out = (struct bytes){ text.data + from, to - from };
    return host_out->size > 0;
}

static bool bytes_are_name(struct bytes host, const char *name)
{
    return strlen(name) == host.size && strncasecmp((const char *)host.data, name, host.size) == 0;
}

bool request_host_is_known(struct bytes host, const char *own, const char *const *names,
                           size_t names_count)
{
    struct bytes name;
    uint8_t ip[16];

    if (!host_read(host, &name)) {
        return false;
    }
    if (address_ip_from_text(name, ip) || bytes_are_name(name, "localhost")) {
        return true;
    }
    for (; own != NULL && *own != '\0'; own += strlen(own) + 1) {
        if (bytes_are_name(name, own)) {
            return true;
        }
    }
    for (size_t i = 0; i < names_count; i++) {
        if (strcmp(names[i], "*") == 0 || bytes_are_name(name, names[i])) {
            return true;
        }
    }
    return false;
}

bool request_origin_is_known(const char *origin, struct bytes host, const char *const *origins,
                             size_t origins_count)
{
    const char *rest = authority_of(origin);

    for (size_t i = 0; i < origins_count; i++) {
        if (strcmp(origins[i], "*") == 0 || strcasecmp(origins[i], origin) == 0) {
            return true;
        }
    }
    return rest != NULL && host.data != NULL && bytes_are_name(host, rest);
}

void request_own_names_add(char *own, size_t room, const char *name, const char *line)
{
    const size_t name_size = strlen(name);
    size_t used = 0;

    while (own[used] != '\0') {
        used += strlen(own + used) + 1;
    }
    line += strcspn(line, " \t\r\n#"); /* the address */
    while (*line == ' ' || *line == '\t') {
        size_t size;

        line += strspn(line, " \t");
        size = strcspn(line, " \t\r\n#");
        if (size > name_size && strncasecmp(line, name, name_size) == 0 && line[name_size] == '.'
            && room - used > size + 1) {
            memcpy(own + used, line, size);
            own[used + size] = '\0';
            own[used + size + 1] = '\0';
            used += size + 1;
        }
        line += size;
    }
}

bool request_type_is(const char *value, struct bytes type)
{
    const size_t size = strcspn(value, "; \t");

    return size == type.size && strncasecmp(value, (const char *)type.data, size) == 0;
}

/* The q among a range's parameters, in thousandths; 1000 when there is none. False: malformed. */
static bool weight_read(const char *parameters, size_t size, unsigned *weight_out)
{
    unsigned weight = 0;
    unsigned scale = 1000;
    size_t at = 0;

    for (;;) {
        while (at < size && strchr("; \t", parameters[at]) != NULL) {
            at++;
        }
        if (at >= size) {
            *weight_out = 1000;
            return true;
        }
        if (size - at >= 2 && (parameters[at] == 'q' || parameters[at] == 'Q')
            && parameters[at + 1] == '=') {
            break;
        }
        while (at < size && parameters[at] != ';') {
            at++;
        }
    }
    for (at += 2; at < size && strchr("; \t", parameters[at]) == NULL; at++) {
        if (parameters[at] == '.' && scale == 100) {
            continue;
        }
        if (parameters[at] < '0' || parameters[at] > '9' || scale == 0) {
            return false;
        }
        weight += scale * (unsigned)(parameters[at] - '0');
        scale /= 10;
    }
    *weight_out = weight;
    return scale < 1000 && weight <= 1000;
}

/* How closely a range names a type, as request_quality.closeness. */
static uint8_t range_closeness(const char *range, size_t size, const char *type)
{
    const size_t kind_size = strcspn(type, "/") + 1;

    if (size == strlen(type) && strncasecmp(range, type, size) == 0) {
        return 3;
    }
    if (size == kind_size + 1 && range[kind_size] == '*'
        && strncasecmp(range, type, kind_size) == 0) {
        return 2;
    }
    return size == 3 && memcmp(range, "*/*", 3) == 0 ? 1 : 0;
}

struct request_quality request_quality_of(const char *value, const char *type)
{
    struct request_quality best = { 0 };

    while (*value != '\0') {
        size_t range_size;
        size_t size;
        uint8_t closeness;
        unsigned weight;

        value += strspn(value, ", \t");
        size = strcspn(value, ",");
        range_size = strcspn(value, ",; \t");
        closeness = range_closeness(value, range_size, type);
        if (closeness > best.closeness
            && weight_read(value + range_size, size - range_size, &weight)) {
            best = (struct request_quality){ (uint16_t)weight, closeness };
        }
        value += size;
    }
    return best;
}

bool request_prefers(const char *value, const char *preference)
{
    while (*value != '\0') {
        size_t size;

        value += strspn(value, ", \t");
        size = strcspn(value, ",; \t");
        if (size == strlen(preference) && strncasecmp(value, preference, size) == 0) {
            return true;
        }
        value += strcspn(value, ",");
    }
    return false;
}

bool request_etag_matches(const char *value, const char digits[16])
{
    const char *quote = value;

    while ((quote = strchr(quote, '"')) != NULL) {
        const size_t size = strcspn(quote + 1, "\"");

        if (quote[1 + size] == '\0') {
            return false;
        }
        if (size == 16 && memcmp(quote + 1, digits, 16) == 0) {
            return true;
        }
        quote += size + 2;
    }
    return false;
}
