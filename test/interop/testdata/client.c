/* Operations of Apache's C client, then a move to other servers. Argument: host:port,... */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

#define PATIENCE 60 /* seconds */

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int connected, expired, fired;
static char event[256];

static void on_event(zhandle_t *zh, int type, int state, const char *path, void *context) {
    pthread_mutex_lock(&mu);
    if (type == ZOO_SESSION_EVENT) {
        connected = state == ZOO_CONNECTED_STATE;
        expired |= state == ZOO_EXPIRED_SESSION_STATE;
    } else {
        snprintf(event, sizeof event, "%d %s", type, path);
        fired = 1;
    }
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mu);
}

static void await(int *flag, const char *what) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE;
    pthread_mutex_lock(&mu);
    while (!*flag) {
        if (pthread_cond_timedwait(&changed, &mu, &until)) {
            fprintf(stderr, "still waiting for %s\n", what);
            exit(1);
        }
    }
    pthread_mutex_unlock(&mu);
}

static void await_event(void) {
    await(&fired, "an event");
    printf("event %s\n", event);
    fired = 0;
}

static void say(const char *what, int rc) { printf("%s: %s\n", what, zerror(rc)); }

static void say_stat(struct Stat *s) {
    printf("  v%d c%d a%d length %d children %d ephemeral %d\n", s->version, s->cversion, s->aversion, s->dataLength,
           s->numChildren, s->ephemeralOwner != 0);
}

static void say_data(zhandle_t *zh, const char *path, int watch) {
    char data[64];
    int n = sizeof data;
    struct Stat stat;
    int rc = zoo_get(zh, path, watch, data, &n, &stat);
    say("get", rc);
    if (rc == ZOK) {
        printf("  %.*s\n", n < 0 ? 0 : n, data);
        say_stat(&stat);
    }
}

static void create(zhandle_t *zh, const char *path, const char *data, struct ACL_vector *acl, int flags) {
    char made[128] = "";
    int rc = zoo_create(zh, path, data, strlen(data), acl, flags, made, sizeof made);
    printf("create %s: %s %s\n", path, zerror(rc), made);
}

static void on_string(int rc, const char *value, const void *done) {
    pthread_mutex_lock(&mu);
    printf("sync: %s %s\n", zerror(rc), value ? value : "");
    *(int *)done = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mu);
}

static void do_sync(zhandle_t *zh) {
    int done = 0;
    zoo_async(zh, "/", on_string, &done);
    await(&done, "sync");
}

static void on_auth(int rc, const void *done) {
    pthread_mutex_lock(&mu);
    printf("auth: %s\n", zerror(rc));
    *(int *)done = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mu);
}

static void znodes(zhandle_t *zh) {
    struct Stat stat;
    struct String_vector names;
    create(zh, "/a", "one", &ZOO_OPEN_ACL_UNSAFE, 0);
    create(zh, "/a", "one", &ZOO_OPEN_ACL_UNSAFE, 0);
    create(zh, "/x/y", "", &ZOO_OPEN_ACL_UNSAFE, 0);
    create(zh, "/a/s-", "", &ZOO_OPEN_ACL_UNSAFE, ZOO_SEQUENCE);
    create(zh, "/a/s-", "", &ZOO_OPEN_ACL_UNSAFE, ZOO_SEQUENCE);
    create(zh, "/a/e", "", &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL);
    say_data(zh, "/a", 0);
    say_data(zh, "/missing", 0);
    say("set", zoo_set(zh, "/a", "two", 3, 0));
    say("set, old version", zoo_set(zh, "/a", "three", 5, 0));
    say("exists", zoo_exists(zh, "/a", 0, &stat));
    say_stat(&stat);
    say("exists missing", zoo_exists(zh, "/missing", 0, &stat));
    say("children", zoo_get_children2(zh, "/a", 0, &names, &stat));
    printf("  %d\n", names.count);
    say_stat(&stat);
    deallocate_String_vector(&names);
    say("delete with children", zoo_delete(zh, "/a", -1));
    say("delete", zoo_delete(zh, "/a/s-0000000000", 0));
    say("delete again", zoo_delete(zh, "/a/s-0000000000", 0));
}

static void access_and_multi(zhandle_t *zh, zhandle_t *other) {
    int done = 0;
    zoo_add_auth(other, "digest", "user:secret", 11, on_auth, &done);
    await(&done, "auth");
    create(other, "/locked", "x", &ZOO_CREATOR_ALL_ACL, 0);
    do_sync(zh);
    say_data(zh, "/locked", 0);
    say_data(other, "/locked", 0);
    say("delete of a stranger", zoo_delete(zh, "/locked", -1));

    char made[64];
    struct Stat stat;
    zoo_op_t ops[3];
    zoo_op_result_t results[3];
    zoo_create_op_init(&ops[0], "/m", "1", 1, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made);
    zoo_set_op_init(&ops[1], "/m", "2", 1, 0, &stat);
    zoo_check_op_init(&ops[2], "/m", 1);
    say("multi", zoo_multi(zh, 3, ops, results));
    zoo_set_op_init(&ops[0], "/m", "3", 1, -1, &stat);
    zoo_check_op_init(&ops[1], "/m", 9);
    zoo_delete_op_init(&ops[2], "/m", -1);
    say("failed multi", zoo_multi(zh, 3, ops, results));
    printf("  %s, %s, %s\n", zerror(results[0].err), zerror(results[1].err), zerror(results[2].err));
    say_data(zh, "/m", 0);
}

static void watch_all(zhandle_t *zh) {
    struct Stat stat;
    struct String_vector names;
    say_data(zh, "/a", 1);
    say("watch children", zoo_get_children(zh, "/m", 1, &names));
    deallocate_String_vector(&names);
    say("watch for", zoo_exists(zh, "/later", 1, &stat));
}

/* again tells whether a call is to be made again, having lost its connection. */
static int again(int rc) {
    if (rc != ZCONNECTIONLOSS && rc != ZOPERATIONTIMEOUT) {
        return 0;
    }
    usleep(50000);
    return 1;
}

static void change_all(zhandle_t *zh) {
    int rc;
    do rc = zoo_set(zh, "/a", "w", 1, -1); while (again(rc));
    await_event();
    create(zh, "/m/c", "", &ZOO_OPEN_ACL_UNSAFE, 0);
    await_event();
    create(zh, "/later", "", &ZOO_OPEN_ACL_UNSAFE, 0);
    await_event();
    say("delete", zoo_delete(zh, "/m/c", -1));
    say("delete", zoo_delete(zh, "/later", -1));
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    zoo_set_debug_level(ZOO_LOG_LEVEL_INFO);
    zhandle_t *zh = zookeeper_init(argv[argc - 1], on_event, 20000, NULL, NULL, 0);
    await(&connected, "a connection");
    zhandle_t *other = zookeeper_init(argv[argc - 1], NULL, 20000, NULL, NULL, 0);
    int64_t session = zoo_client_id(zh)->client_id;
    struct Stat stat;
    int rc;

    znodes(zh);
    access_and_multi(zh, other);
    watch_all(zh);
    change_all(other);

    do_sync(zh); /* the other client's server may be ahead of this one's */
    watch_all(zh);
    printf("CUE failover\n");
    getchar();
    do rc = zoo_exists(zh, "/a/e", 0, &stat); while (again(rc));
    printf("same session %d, expired %d, ephemeral kept %d, event %d\n", zoo_client_id(zh)->client_id == session, expired,
           rc == ZOK && stat.ephemeralOwner == session, fired);
    change_all(other);
    say_data(other, "/locked", 0);
    zookeeper_close(zh);
    do_sync(other);
    say("ephemeral of the closed session", zoo_exists(other, "/a/e", 0, &stat));
    zookeeper_close(other);
    return 0;
}
