/* hiredis with its own TLS through the gateway: program PORT DIRECTORY USER REDIS_USER
 *
 * DIRECTORY holds ca.crt, USER.crt and USER.key. Says "ok", or on which line what
 * was not as hiredis' documentation promises. */

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hiredis.h"
#include "hiredis_ssl.h"
#include "async.h"

#define CHECK(what) \
    do { \
        if (!(what)) { \
            fprintf(stderr, "hiredis.c:%d: not so: %s\n", __LINE__, #what); \
            exit(1); \
        } \
    } while (0)

static int port;
static redisSSLContext *ssl;
static int pushes;

static void on_push(void *privdata, void *reply) {
    (void)privdata;
    redisReply *push = reply;
    CHECK(push->type == REDIS_REPLY_PUSH && push->elements >= 2);
    pushes++;
    freeReplyObject(push);
}

static redisContext *connect_tls(void) {
    struct timeval patience = {20, 0};
    redisContext *c = redisConnectWithTimeout("localhost", port, patience);
    CHECK(c && !c->err);
    CHECK(redisInitiateSSLWithContext(c, ssl) == REDIS_OK);
    CHECK(redisSetTimeout(c, patience) == REDIS_OK);
    return c;
}

static redisReply *is(redisReply *reply, int type, const char *text) {
    CHECK(reply);
    if (reply->type != type || (text && (!reply->str || strcmp(reply->str, text) != 0)))
        fprintf(stderr, "type %d, text %s; expected %d, %s\n", reply->type, reply->str, type, text);
    CHECK(reply->type == type && (!text || strcmp(reply->str, text) == 0));
    return reply;
}

static void said(redisReply *reply, int type, const char *text) {
    freeReplyObject(is(reply, type, text));
}

static void counted(redisReply *reply, long long number) {
    CHECK(is(reply, REDIS_REPLY_INTEGER, NULL)->integer == number);
    freeReplyObject(reply);
}

static void synchronous(const char *redis_user) {
    redisContext *c = connect_tls();
    said(redisCommand(c, "PING"), REDIS_REPLY_STATUS, "PONG");
    said(redisCommand(c, "ACL WHOAMI"), REDIS_REPLY_STRING, redis_user);
    said(redisCommand(c, "GET hi:none"), REDIS_REPLY_NIL, NULL);
    said(redisCommand(c, "SET hi:k %b", "a\0b\r\n", (size_t)5), REDIS_REPLY_STATUS, "OK");
    redisReply *reply = is(redisCommand(c, "GET hi:k"), REDIS_REPLY_STRING, NULL);
    CHECK(reply->len == 5 && memcmp(reply->str, "a\0b\r\n", 5) == 0);
    freeReplyObject(reply);
    reply = redisCommand(c, "LPUSH hi:k x");
    CHECK(strncmp(is(reply, REDIS_REPLY_ERROR, NULL)->str, "WRONGTYPE", 9) == 0);
    freeReplyObject(reply);
    CHECK(!c->err);
    size_t size = 8 << 20;
    char *big = malloc(size);
    for (size_t i = 0; i < size; i++) big[i] = (char)(i * 31 + i / 251);
    said(redisCommand(c, "SET hi:big %b", big, size), REDIS_REPLY_STATUS, "OK");
    reply = is(redisCommand(c, "GET hi:big"), REDIS_REPLY_STRING, NULL);
    CHECK(reply->len == size && memcmp(reply->str, big, size) == 0);
    freeReplyObject(reply);
    free(big);
    /* A pipeline of ten thousand. */
    for (int n = 0; n < 10000; n++) CHECK(redisAppendCommand(c, "INCR hi:n") == REDIS_OK);
    for (int n = 0; n < 10000; n++) {
        void *next;
        CHECK(redisGetReply(c, &next) == REDIS_OK);
        counted(next, n + 1);
    }
    /* A transaction, one of whose commands fails. */
    said(redisCommand(c, "MULTI"), REDIS_REPLY_STATUS, "OK");
    said(redisCommand(c, "INCR hi:n"), REDIS_REPLY_STATUS, "QUEUED");
    said(redisCommand(c, "LPUSH hi:n x"), REDIS_REPLY_STATUS, "QUEUED");
    reply = is(redisCommand(c, "EXEC"), REDIS_REPLY_ARRAY, NULL);
    CHECK(reply->elements == 2 && reply->element[0]->integer == 10001);
    CHECK(reply->element[1]->type == REDIS_REPLY_ERROR);
    freeReplyObject(reply);
    reply = is(redisCommand(c, "BLPOP hi:none 0.05"), REDIS_REPLY_NIL, NULL);
    freeReplyObject(reply);
    CHECK(redisReconnect(c) == REDIS_OK);
    CHECK(redisInitiateSSLWithContext(c, ssl) == REDIS_OK);
    said(redisCommand(c, "GET hi:n"), REDIS_REPLY_STRING, "10001");
    redisFree(c);
}

/* RESP3: maps, doubles, and messages that come between replies. */
static void third_protocol(void) {
    redisContext *c = connect_tls(), *other = connect_tls();
    redisSetPushCallback(c, on_push);
    redisReply *hello = is(redisCommand(c, "HELLO 3 SETNAME hi"), REDIS_REPLY_MAP, NULL);
    CHECK(hello->elements == 14);
    freeReplyObject(hello);
    said(redisCommand(c, "CLIENT GETNAME"), REDIS_REPLY_STRING, "hi");
    counted(redisCommand(c, "ZADD hi:z 1.5 m"), 1);
    redisReply *score = is(redisCommand(c, "ZSCORE hi:z m"), REDIS_REPLY_DOUBLE, NULL);
    CHECK(score->dval == 1.5);
    freeReplyObject(score);
    counted(redisCommand(c, "HSET hi:h a 1 b 2"), 2);
    redisReply *hash = is(redisCommand(c, "HGETALL hi:h"), REDIS_REPLY_MAP, NULL);
    CHECK(hash->elements == 4);
    freeReplyObject(hash);
    /* The confirmation is a push, and no reply. */
    CHECK(redisAppendCommand(c, "SUBSCRIBE hi:news") == REDIS_OK);
    said(redisCommand(c, "ECHO subscribed"), REDIS_REPLY_STRING, "subscribed");
    CHECK(pushes == 1);
    for (int n = 0; n < 100; n++) {
        redisReply *receivers = redisCommand(other, "PUBLISH hi:news %d", n);
        CHECK(is(receivers, REDIS_REPLY_INTEGER, NULL)->integer == 1);
        freeReplyObject(receivers);
        said(redisCommand(c, "ECHO between"), REDIS_REPLY_STRING, "between");
    }
    while (pushes < 101) said(redisCommand(c, "PING"), REDIS_REPLY_STATUS, "PONG");
    /* Client-side caching: what this one has read, the other changes. */
    said(redisCommand(c, "CLIENT TRACKING ON"), REDIS_REPLY_STATUS, "OK");
    said(redisCommand(c, "SET hi:cached 1"), REDIS_REPLY_STATUS, "OK");
    said(redisCommand(c, "GET hi:cached"), REDIS_REPLY_STRING, "1");
    int before = pushes;
    said(redisCommand(other, "SET hi:cached 2"), REDIS_REPLY_STATUS, "OK");
    while (pushes == before) said(redisCommand(c, "PING"), REDIS_REPLY_STATUS, "PONG");
    redisFree(c);
    redisFree(other);
}

/* The asynchronous interface, on a loop of poll(2). */
struct loop {
    redisAsyncContext *c;
    int reads, writes, messages, replies, is_over;
};

static void read_on(void *l) { ((struct loop *)l)->reads = 1; }
static void read_off(void *l) { ((struct loop *)l)->reads = 0; }
static void write_on(void *l) { ((struct loop *)l)->writes = 1; }
static void write_off(void *l) { ((struct loop *)l)->writes = 0; }
static void over(const redisAsyncContext *c, int status) {
    CHECK(status == REDIS_OK);
    ((struct loop *)c->data)->is_over = 1;
}

static void on_reply(redisAsyncContext *c, void *reply, void *number) {
    struct loop *loop = c->data;
    CHECK(reply && ((redisReply *)reply)->type == REDIS_REPLY_INTEGER);
    CHECK(((redisReply *)reply)->integer == (long)number);
    loop->replies++;
}

static void on_message(redisAsyncContext *c, void *reply, void *data) {
    (void)data;
    redisReply *message = reply;
    if (message && strcmp(message->element[0]->str, "message") == 0) ((struct loop *)c->data)->messages++;
}

static void start(struct loop *loop) {
    loop->c = redisAsyncConnect("localhost", port);
    CHECK(loop->c && !loop->c->err);
    redisAsyncContext *c = loop->c;
    c->data = c->ev.data = loop;
    c->ev.addRead = read_on, c->ev.delRead = read_off;
    c->ev.addWrite = write_on, c->ev.delWrite = write_off;
    CHECK(redisInitiateSSLWithContext(&c->c, ssl) == REDIS_OK);
    CHECK(redisAsyncSetDisconnectCallback(c, over) == REDIS_OK);
}

static void turn(struct loop *loops, int count) {
    for (int n = 0; n < count; n++) {
        struct loop *loop = &loops[n];
        if (loop->is_over) continue;
        struct pollfd fd = {loop->c->c.fd, (loop->reads ? POLLIN : 0) | (loop->writes ? POLLOUT : 0), 0};
        CHECK(poll(&fd, 1, 5) >= 0);
        if (fd.revents & (POLLIN | POLLHUP)) redisAsyncHandleRead(loop->c);
        if (!loop->is_over && (fd.revents & POLLOUT)) redisAsyncHandleWrite(loop->c);
    }
}

static void asynchronous(void) {
    struct loop loops[2] = {0};
    struct loop *asker = &loops[0], *listener = &loops[1];
    start(asker);
    start(listener);
    CHECK(redisAsyncCommand(listener->c, on_message, NULL, "SUBSCRIBE hi:async") == REDIS_OK);
    for (int n = 0; n < 2000; n++) CHECK(redisAsyncCommand(asker->c, on_reply, (void *)(long)(n + 1), "INCR hi:an") == REDIS_OK);
    for (int n = 0; n < 4000 && asker->replies < 2000; n++) turn(loops, 2);
    CHECK(asker->replies == 2000);
    for (int n = 0; n < 50; n++) CHECK(redisAsyncCommand(asker->c, NULL, NULL, "PUBLISH hi:async %d", n) == REDIS_OK);
    for (int n = 0; n < 4000 && listener->messages < 50; n++) turn(loops, 2);
    CHECK(listener->messages == 50);
    CHECK(redisAsyncCommand(listener->c, NULL, NULL, "UNSUBSCRIBE hi:async") == REDIS_OK);
    redisAsyncDisconnect(asker->c);
    redisAsyncDisconnect(listener->c);
    for (int n = 0; n < 4000 && !(asker->is_over && listener->is_over); n++) turn(loops, 2);
    CHECK(asker->is_over && listener->is_over);
}

int main(int argc, char **argv) {
    char ca[1024], certificate[1024], key[1024];
    CHECK(argc == 5);
    port = atoi(argv[1]);
    snprintf(ca, sizeof ca, "%s/ca.crt", argv[2]);
    snprintf(certificate, sizeof certificate, "%s/%s.crt", argv[2], argv[3]);
    snprintf(key, sizeof key, "%s/%s.key", argv[2], argv[3]);
    redisInitOpenSSL();
    ssl = redisCreateSSLContext(ca, NULL, certificate, key, "localhost", NULL);
    CHECK(ssl);
    synchronous(argv[4]);
    third_protocol();
    asynchronous();
    redisFreeSSLContext(ssl);
    puts("ok");
    return 0;
}
