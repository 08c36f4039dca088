/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/config.h"

#include "rdma/config_names.h"
#include "rdma/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static const char prefix[] = "UCX_";

/* Found out, beside what is wished for: no message goes any other way than over TCP. */
enum { TCP_IS_ALONE = 1 << 16 };

/* What rill sets where the user did not. */
struct preset {
    struct rill_rdma_setting setting;
    unsigned with, without; /* of the above: all of these, and none of those */
    unsigned before_minor;  /* in versions 1.* before that one; 0: in all */
    const char *of_many;    /* the key that sets this one and others, or NULL */
};

static const struct preset presets[] = {
    /* A message of several eager fragments whose sender dies on the way never ends; this
     * many bytes are one fragment of any transport that moves more than a datagram. The price: from
     * here to 64 KiB a message takes up to twice as long over TCP (docs/performance.md). That
     * takes as many as below as one if the receiver's buffer for them (TCP_RX_SEG_SIZE), and the
     * sender's for messages of several parts, have the size that the former has by default; so
     * does what goes from a worker to itself. */
    {{"RNDV_THRESH", "8000"}, 0, TCP_IS_ALONE, 0, NULL},
    {{"RNDV_THRESH", "60000"}, TCP_IS_ALONE, 0, 0, NULL},
    {{"TCP_TX_SEG_SIZE", "64K"}, TCP_IS_ALONE, 0, 0, "TCP_RX_SEG_SIZE"},
    {{"SELF_SEG_SIZE", "64K"}, TCP_IS_ALONE, 0, 0, NULL},
    {{"TLS", "tcp"}, RILL_RDMA_WISH_TCP_ONLY, 0, 0, NULL},
    /* What nobody has received yet is copied into a buffer of the next of these sizes, which are
     * powers of 2, or of a whole segment. UCX's own are 64 and 1K, so that a message of 100 bytes
     * takes up ten times as much, and one of a kilobyte eight times. */
    {{"RX_MPOOL_SIZES", "64,128,256,512,1K,2K,4K,8K,16K,32K"}, 0, 0, 0, NULL},
    /* A peer that dies is not reported over shared memory, so that has to be asked for. */
    {{"TLS", "^sm"}, 0, RILL_RDMA_WISH_SHARED_MEMORY | RILL_RDMA_WISH_TCP_ONLY, 0, NULL},
    /* Endpoints that report errors use shared memory only with this. */
    {{"POSIX_ERROR_HANDLING", "y"}, RILL_RDMA_WISH_SHARED_MEMORY, 0, 0, NULL},
    /* CMA says that it can recall the address of a buffer, which it cannot: see rdma.h. Without
     * this, UCX leaves it out where endpoints report errors. */
    {{"CMA_MEMORY_INVALIDATE", "y"},
     RILL_RDMA_WISH_SHARED_MEMORY | RILL_RDMA_WISH_SINGLE_COPY,
     0,
     0,
     NULL},
    /* Eight times as long as by default, for fewer system calls and callbacks. 256 KiB gain
     * half of that, and 1 MiB less again, as it leaves the cache. Both sides of a connection
     * compare what they have; what is behind a bare endpoint has UCX's own. */
    {{"TCP_RX_SEG_SIZE", "512K"}, 0, RILL_RDMA_WISH_BARE_ENDPOINTS, 0, NULL},
    {{"TCP_RX_SEG_SIZE", "512K"},
     RILL_RDMA_WISH_BARE_ENDPOINTS | RILL_RDMA_WISH_LONG_SEGMENTS,
     0,
     0,
     NULL},
    /* Four times as long as by default, so that a message is handed over in fewer pieces, and all
     * of them together do not fit into the nearer caches: one core writes them back, instead of
     * the other one asking it for each line (docs/performance.md). Twice as long gains little
     * more. There are a quarter as many at the beginning, so that they take up as much. */
    {{"POSIX_SEG_SIZE", "32K"},
     RILL_RDMA_WISH_SHARED_MEMORY | RILL_RDMA_WISH_LONG_SEGMENTS,
     0,
     0,
     "MM_SEG_SIZE"},
    {{"POSIX_RX_BUFS_GROW", "128"},
     RILL_RDMA_WISH_SHARED_MEMORY | RILL_RDMA_WISH_LONG_SEGMENTS,
     0,
     0,
     "MM_SEG_SIZE"},
    /* As every server does: else its port is taken for a minute after it was killed. */
    {{"TCP_CM_REUSEADDR", "y"}, 0, 0, 0, NULL},
    /* Else connect(2) stops the loop for as long as a host keeps silent, and a peer that dies
     * between that and the first byte, a client that is killed while it connects, say, makes
     * UCX end the process (tcp_ep.c): it takes the endpoint for failed and goes on with it. */
    {{"TCP_CONN_NB", "y"}, 0, 0, 0, NULL},
    /* Else a peer that is killed ends this process, too, where long messages go both ways: UCX puts
     * into the peer's memory and waits for an acknowledgement. A send that fails lets go of that
     * wait, and the acknowledgement, which had come before, is none any more (an assertion in
     * uct_tcp_ep_handle_put_ack of tcp_ep.c). */
    {{"TCP_PUT_ENABLE", "n"}, 0, 0, 0, NULL},
    /* Before 1.19 the kind of a datagram's address is taken from where only NVIDIA's cards put
     * it, and over RoCE with an IPv4 address every datagram of another card is dropped without
     * a word: nothing connects, whether by datagrams or by reliable connections. */
    {{"UD_VERBS_ETH_DGID_CHECK", "n"}, 0, 0, 19, "UD_ETH_DGID_CHECK"},
};

int rill_rdma_say(struct rill_rdma_why *why, int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why->text, sizeof why->text, format, arguments);
    va_end(arguments);
    return error;
}

/* Enough of a value that is a size; of others the beginning is read. */
enum { VALUE_MAX = 32 };

static const char *bare(const char *key)
{
    return strncmp(key, prefix, sizeof prefix - 1) == 0 ? key + sizeof prefix - 1 : key;
}

/* What the user set it to; NULL: nothing. */
static const char *said(const char *key, const struct rill_rdma_setting *settings, size_t count)
{
    char name[128];

    for (size_t i = 0; i < count; i++)
        if (strcmp(bare(settings[i].key), key) == 0)
            return settings[i].value;
    snprintf(name, sizeof name, "%s%s", prefix, key);
    return getenv(name);
}

/* Whether a list of transports (UCX_TLS) has no others than TCP, and what goes to oneself. */
static bool names_tcp_alone(const char *list)
{
    for (size_t length; *list; list += length + (list[length] == ',')) {
        length = strcspn(list, ",");
        if (!(length == 3 && memcmp(list, "tcp", length) == 0) &&
            !(length == 4 && memcmp(list, "self", length) == 0))
            return false;
    }
    return true;
}

/* Who sets the length of pieces may have made them shorter. */
static bool is_tcp_alone(const struct rill_ucx *ucx, unsigned wishes,
                         const struct rill_rdma_setting *settings, size_t count)
{
    const char *list = said("TLS", settings, count);

    if (wishes & RILL_RDMA_WISH_TCP_ONLY)
        return true;
    if (wishes & RILL_RDMA_WISH_SHARED_MEMORY || said("TCP_RX_SEG_SIZE", settings, count) ||
        said("TCP_TX_SEG_SIZE", settings, count))
        return false;
    return list ? names_tcp_alone(list) : !ucx->has_device();
}

static bool is_older(const struct rill_ucx *ucx, unsigned than_minor)
{
    unsigned major, minor, release;

    ucx->get_version(&major, &minor, &release);
    return major == 1 && minor < than_minor;
}

static bool applies(const struct preset *preset, const struct rill_ucx *ucx, unsigned wishes,
                    const struct rill_rdma_setting *settings, size_t count)
{
    if ((wishes & preset->with) != preset->with || (wishes & preset->without) ||
        (preset->before_minor && !is_older(ucx, preset->before_minor)))
        return false;
    return !said(preset->setting.key, settings, count) &&
           !(preset->of_many && said(preset->of_many, settings, count));
}

/* ---- lending ---- */

/* A variable of the environment that has another value for a while. */
struct rill_rdma_lent {
    struct rill_rdma_lent *next; /* rill_rdma_config.lent */
    char *before;                /* NULL: it was not there */
    char name[];
};

int rill_rdma_config_lend(struct rill_rdma_config *config, const char *key, const char *value)
{
    size_t size = sizeof prefix + strlen(key);
    struct rill_rdma_lent *lent = malloc(sizeof *lent + size);
    const char *before;

    if (!lent)
        return -ENOMEM;
    snprintf(lent->name, size, "%s%s", prefix, key);
    before = getenv(lent->name);
    lent->before = before ? strdup(before) : NULL;
    if ((before && !lent->before) || setenv(lent->name, value, 1) < 0) {
        free(lent->before);
        free(lent);
        return -ENOMEM;
    }
    lent->next = config->lent;
    config->lent = lent;
    return 0;
}

/* Takes back what stands at a place of the list. */
static void take_back(struct rill_rdma_lent **place)
{
    struct rill_rdma_lent *lent = *place;

    *place = lent->next;
    if (lent->before)
        setenv(lent->name, lent->before, 1);
    else
        unsetenv(lent->name);
    free(lent->before);
    free(lent);
}

/* ---- setting ---- */

/* Looks whether a key is one of UCP itself. Returns 0 or 1, or -ENOMEM; and the beginning of its
 * value, where it is one. */
static int find_in_ucp(const struct rill_ucx *ucx, const ucp_config_t *config, const char *key,
                       char value[static VALUE_MAX])
{
    char *text = NULL, name[128];
    const char *found;
    size_t size;
    FILE *file = open_memstream(&text, &size);

    if (!file)
        return -ENOMEM;
    fputc('\n', file);
    ucx->config_print(config, file, NULL, UCS_CONFIG_PRINT_CONFIG);
    fclose(file);
    if (!text)
        return -ENOMEM;
    size = (size_t)snprintf(name, sizeof name, "\n%s%s=", prefix, key);
    found = strstr(text, name);
    if (found)
        snprintf(value, VALUE_MAX, "%.*s", (int)strcspn(found + size, "\n"), found + size);
    free(text);
    return found != NULL;
}

static int set(struct rill_rdma_config *config, const struct rill_ucx *ucx,
               const struct rill_rdma_setting *setting, struct rill_rdma_why *why)
{
    const char *key = bare(setting->key);
    char value[VALUE_MAX];
    int error, found;
    ucs_status_t status;

    if (strchr(key, '='))
        return rill_rdma_say(why, -EINVAL, "UCX has no setting %s: no name of one has a =", key);
    found = find_in_ucp(ucx, config->ucp, key, value);
    if (found < 0)
        return rill_rdma_say(why, found, "no memory for the setting %s", key);
    status = found ? ucx->config_modify(config->ucp, key, setting->value)
                   : ucx->set_global(key, setting->value);
    if (status == UCS_ERR_UNSUPPORTED)
        return rill_rdma_say(why, -EINVAL,
                             "UCX reads %s once, as the process starts: set UCX_%s in the "
                             "environment before that",
                             key, key);
    if (!found && status == UCS_ERR_NO_ELEM) {
        error = rill_rdma_config_lend(config, key, setting->value);
        return error ? rill_rdma_say(why, error, "no memory for the setting %s", key) : 0;
    }
    error = rill_rdma_errno(status);
    return error ? rill_rdma_say(why, error, "UCX does not take %s=%s", key, setting->value) : 0;
}

/* ---- what is in effect ---- */

/* A number of bytes as UCX prints it: "64K", "1M" or "98304". Returns UINT64_MAX for what is none:
 * "auto" and "inf". */
static uint64_t size_of(const char *value)
{
    char *unit;
    uint64_t size = strtoull(value, &unit, 10);

    if (unit == value)
        return UINT64_MAX;
    switch (*unit) {
    case 'G':
        return size << 30;
    case 'M':
        return size << 20;
    case 'K':
        return size << 10;
    default:
        return size;
    }
}

static int look_up_eager_size(struct rill_rdma_config *config, const struct rill_ucx *ucx,
                              struct rill_rdma_why *why)
{
    char value[VALUE_MAX] = "auto";
    int found = find_in_ucp(ucx, config->ucp, "RNDV_THRESH", value);
    uint64_t size = size_of(value);

    if (found < 0)
        return rill_rdma_say(why, found, "no memory to look at UCX's settings");
    config->eager_size = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
    return 0;
}

/* 0 where UCX does not have it. */
static uint32_t size_in(const struct rill_rdma_names *names, const char *key)
{
    const char *value = rill_rdma_names_value(names, key);
    uint64_t size = value ? size_of(value) : 0;

    return size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
}

static bool is_on(const struct rill_rdma_names *names, const char *key)
{
    const char *value = rill_rdma_names_value(names, key);

    return value && *value == 'y';
}

/* Memory is shared with peers only where it may be used by endpoints that report errors. */
static struct rill_rdma_segments segments_in(const struct rill_rdma_names *names)
{
    return (struct rill_rdma_segments){
        .tcp = size_in(names, "TCP_RX_SEG_SIZE"),
        .shared = is_on(names, "POSIX_ERROR_HANDLING")  ? size_in(names, "POSIX_SEG_SIZE")
                  : is_on(names, "SYSV_ERROR_HANDLING") ? size_in(names, "SYSV_SEG_SIZE")
                                                        : 0,
    };
}

/* ---- all of it ---- */

int rill_rdma_config_begin(struct rill_rdma_config *config, const struct rill_ucx *ucx,
                           unsigned wishes, const struct rill_rdma_setting *settings, size_t count,
                           struct rill_rdma_why *why)
{
    int error = rill_rdma_errno(ucx->config_read(NULL, NULL, &config->ucp));

    config->lent = NULL;
    if (error)
        return rill_rdma_say(why, error, "UCX cannot read its configuration: %s", strerror(-error));
    if (is_tcp_alone(ucx, wishes, settings, count))
        wishes |= TCP_IS_ALONE;
    for (size_t i = 0; i < sizeof presets / sizeof *presets && !error; i++)
        if (applies(&presets[i], ucx, wishes, settings, count))
            error = set(config, ucx, &presets[i].setting, why);
    for (size_t i = 0; i < count && !error; i++)
        error = set(config, ucx, &settings[i], why);
    if (!error)
        error = look_up_eager_size(config, ucx, why);
    if (error)
        rill_rdma_config_end(config, ucx);
    return error;
}

void rill_rdma_config_end(struct rill_rdma_config *config, const struct rill_ucx *ucx)
{
    while (config->lent)
        take_back(&config->lent);
    ucx->config_release(config->ucp);
}

/* ---- what UCX does not have ---- */

static bool is_known(const struct rill_rdma_names *names, const char *key)
{
    return rill_rdma_names_value(names, key) != NULL;
}

static void check_environment(const struct rill_rdma_names *names, struct rill_rdma_why *remark)
{
    for (char **entry = environ; *entry; entry++) {
        char name[RILL_RDMA_NAME_MAX + 1];
        size_t size = strcspn(*entry, "=");

        if (strncmp(*entry, prefix, sizeof prefix - 1) != 0 ||
            size - (sizeof prefix - 1) > RILL_RDMA_NAME_MAX)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(size - (sizeof prefix - 1)),
                 *entry + sizeof prefix - 1);
        if (!is_known(names, name))
            rill_rdma_names_say_nearest(names, name, remark);
    }
}

static int check_settings(const struct rill_rdma_names *names,
                          const struct rill_rdma_setting *settings, size_t count,
                          struct rill_rdma_why *why)
{
    for (size_t i = 0; i < count; i++)
        if (!is_known(names, bare(settings[i].key))) {
            rill_rdma_names_say_nearest(names, bare(settings[i].key), why);
            return -EINVAL;
        }
    return 0;
}

/* A UCX that was built without a transport complains of a variable that none of its parts
 * reads. */
static void take_back_unknown(struct rill_rdma_config *config, const struct rill_rdma_names *names)
{
    struct rill_rdma_lent **place = &config->lent;

    while (*place)
        if (is_known(names, bare((*place)->name)))
            place = &(*place)->next;
        else
            take_back(place);
}

int rill_rdma_config_check(struct rill_rdma_config *config, const struct rill_ucx *ucx,
                           const struct rill_rdma_setting *settings, size_t count,
                           struct rill_rdma_why *why, struct rill_rdma_why *remark)
{
    struct rill_rdma_names names;
    int error = rill_rdma_names_read(&names, ucx);

    if (error)
        return rill_rdma_say(why, error, "no memory for the names of UCX's settings");
    take_back_unknown(config, &names);
    config->segments = segments_in(&names);
    check_environment(&names, remark);
    error = check_settings(&names, settings, count, why);
    rill_rdma_names_free(&names);
    return error;
}
