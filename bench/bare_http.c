/* The bare limit of HTTP: evhttp with a fixed reply, and the daemon's own settings of libevent and
 * the socket.
 *
 *     bare_http PORT         0: any that is free
 *
 * GET is answered with as many bytes as a small key's answer has; POST and PUT parse the body with
 * cJSON first and answer like an update of one element. Prints the port once it listens, and runs
 * until it is ended. */

#include <cjson/cJSON.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const char answer_get[] = "{\"key\":\"small\",\"size\":3,\"digest\":\"d3c1e3fcfc1ac1c5\","
                                 "\"vector\":{\"0\":5,\"1\":11,\"5\":3}}";
static const char answer_post[] = "{\"key\":\"visitors:00000000001\",\"changed\":{\"0\":1000001},"
                                  "\"larger\":{},\"digest\":\"d3c1e3fcfc1ac1c5\"}";

static void on_request(struct evhttp_request *request, void *argument)
{
    struct evbuffer *out = evhttp_request_get_output_buffer(request);
    struct evbuffer *in = evhttp_request_get_input_buffer(request);
    const size_t size = evbuffer_get_length(in);

    (void)argument;
    (void)evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
                            "application/json");
    if (size > 0) {
        cJSON *document =
            cJSON_ParseWithLength((const char *)evbuffer_pullup(in, (ev_ssize_t)size), size);

        if (document == NULL) {
            evhttp_send_reply(request, 400, "Bad Request", NULL);
            return;
        }
        cJSON_Delete(document);
        (void)evbuffer_add(out, answer_post, sizeof answer_post - 1);
    } else {
        (void)evbuffer_add(out, answer_get, sizeof answer_get - 1);
    }
    evhttp_send_reply(request, 200, "OK", NULL);
}

static int socket_listen(uint16_t port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(port) };
    socklen_t size = sizeof name;

    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0
        || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0
        || bind(fd, (const struct sockaddr *)&name, sizeof name) != 0 || listen(fd, 128) != 0
        || getsockname(fd, (struct sockaddr *)&name, &size) != 0) {
        perror("bare_http");
        exit(1);
    }
    (void)printf("%u\n", ntohs(name.sin_port));
    (void)fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    struct event_config *config = event_config_new();
    struct event_base *base;
    struct evhttp *http;

    if (argc != 2 || config == NULL
        || event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST) != 0) {
        (void)fprintf(stderr, "usage: bare_http PORT\n");
        return 64;
    }
    base = event_base_new_with_config(config);
    http = base == NULL ? NULL : evhttp_new(base);
    if (http == NULL
        || evhttp_accept_socket(http, socket_listen((uint16_t)strtoul(argv[1], NULL, 10))) != 0) {
        return 1;
    }
    event_config_free(config);
    evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST
                                         | EVHTTP_REQ_PUT | EVHTTP_REQ_OPTIONS);
    evhttp_set_timeout(http, 30);
    evhttp_set_gencb(http, on_request, NULL);
    return event_base_dispatch(base) < 0;
}
