/* SPDX-License-Identifier: Apache-2.0 */
/* test_address.c - addresses and URLs are read as they are meant, and hostile ones are refused. */
#include "net/address.h"

#include "net/url.h"
#include "tests/fixture.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

START_TEST(addresses_are_read_and_written)
{
    static const struct {
        const char *host;
        uint16_t port;
        const char *text;
    } cases[] = {
        {"127.0.0.1", 7000, "127.0.0.1:7000"},
        {"0.0.0.0", 0, "0.0.0.0:0"},
        {"255.255.255.255", 65535, "255.255.255.255:65535"},
        {"::", 1, "[::]:1"},
        {"::1", 80, "[::1]:80"},
        {"2001:DB8:0:0:0:0:0:1", 443, "[2001:db8::1]:443"},
        {"::ffff:1.2.3.4", 5, "[::ffff:1.2.3.4]:5"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", 65535,
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rill_address address;
        char text[RILL_ADDRESS_TEXT_MAX];

        memset(&address, 0xff, sizeof address);
        ck_assert_int_eq(rill_address_parse(&address, cases[i].host, cases[i].port), 0);
        ck_assert_uint_eq(rill_address_port(&address), cases[i].port);
        ck_assert_ptr_eq(rill_address_format(&address, text), text);
        ck_assert_str_eq(text, cases[i].text);
        ck_assert_uint_eq(address.size, address.any.sa_family == AF_INET ? sizeof address.ip4
                                                                         : sizeof address.ip6);
        rill_address_set_port(&address, 4321);
        ck_assert_uint_eq(rill_address_port(&address), 4321);
    }
}
END_TEST

START_TEST(that_no_port_can_be_had_is_explained_by_the_port_that_was_asked_for)
{
    struct rill_address address;

    ck_assert_int_eq(rill_address_parse(&address, "127.0.0.1", 80), 0);
    ck_assert_ptr_nonnull(strstr(rill_address_explain_listen(&address, -EADDRINUSE), "taken"));
    rill_address_set_port(&address, 0);
    ck_assert_ptr_nonnull(
        strstr(rill_address_explain_listen(&address, -EADDRINUSE), "no port is free"));
}
END_TEST

START_TEST(what_is_no_numeric_address_is_EINVAL)
{
    static const char *const hosts[] = {
        "",
        "localhost",
        "127.0.0",
        "127.0.0.256",
        "127.0.0.1.1",
        " 127.0.0.1",
        "127.0.0.1 ",
        "0x7f.0.0.1",
        "1",
        "::1::",
        ":::",
        "[::1]",
        "::1]",
        "1:2:3:4:5:6:7:8:9",
        "::g",
        "%",
        "%lo",
        "::1%",
        "::1%no_such_interface",
        "::1%999999999",  /* nor such a number */
        "::1%4294967297", /* 1, which is the loopback, and what 32 bits do not hold */
        "::1%1x",
        "fe80::1%%lo",
        "127.0.0.1%lo",
        "::1/64",
        "-1",
        "127.0.0.1:80",
    };

    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        struct rill_address address;

        if (rill_address_parse(&address, hosts[i], 1) != -EINVAL)
            ck_abort_msg("'%s' was taken for an address", hosts[i]);
    }
}
END_TEST

START_TEST(long_hosts_overflow_nothing)
{
    struct rill_address address;

    for (size_t size = 1; size < 5000; size = size * 3 / 2 + 1) {
        char *host = malloc(size + 1);

        expect(host != NULL);
        for (int kind = 0; kind < 4; kind++) {
            memset(host, "1:%f"[kind], size);
            host[size] = '\0';
            expect_eq(rill_address_parse(&address, host, 1), kind == 1 && size == 2 ? 0 : -EINVAL);
        }
        free(host);
    }
}
END_TEST

START_TEST(a_zone_is_an_interface_by_name_and_is_read_as_it_is_written)
{
    struct rill_address address, again;
    char text[RILL_ADDRESS_TEXT_MAX], want[RILL_ADDRESS_TEXT_MAX];
    unsigned index = if_nametoindex("lo");

    if (index == 0) {
        printf("skipped: this machine has no interface lo\n");
        return;
    }
    ck_assert_int_eq(rill_address_parse(&address, "fe80::1%lo", 7), 0);
    ck_assert_uint_eq(address.ip6.sin6_scope_id, index);
    snprintf(want, sizeof want, "[fe80::1%%%u]:7", index);
    ck_assert_str_eq(rill_address_format(&address, text), want);
    snprintf(want, sizeof want, "fe80::1%%%u", index);
    ck_assert_int_eq(rill_address_parse(&again, want, 7), 0);
    ck_assert_uint_eq(again.ip6.sin6_scope_id, index);
}
END_TEST

START_TEST(the_longest_address_fits_into_its_text)
{
    struct rill_address address;
    char text[RILL_ADDRESS_TEXT_MAX];

    ck_assert_int_eq(rill_address_parse(&address, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535),
                     0);
    address.ip6.sin6_scope_id = UINT32_MAX;
    ck_assert_str_eq(rill_address_format(&address, text),
                     "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");
}
END_TEST

/* ---- URLs ---- */

START_TEST(URLs_are_taken_apart)
{
    static const struct {
        const char *url, *scheme, *host;
        uint16_t port;
    } cases[] = {
        {"tcp://127.0.0.1:7000", "tcp", "127.0.0.1", 7000},
        {"tcp://localhost:0", "tcp", "localhost", 0},
        {"TCP://Example.NET:65535", "tcp", "Example.NET", 65535},
        {"tcp://[::1]:80", "tcp", "::1", 80},
        {"tcp://[fe80::1%eth0]:1", "tcp", "fe80::1%eth0", 1},
        {"ucx2://h:00080", "ucx2", "h", 80},
        {"abcdefghijklmno://h:1", "abcdefghijklmno", "h", 1},
        {"unix:///run/echo:1.sock", "unix", "", 0},
        {"fd://echo@1.socket", "fd", "", 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *why = NULL;
        struct rill_url url;

        ck_assert_int_eq(rill_url_parse(&url, cases[i].url, &why), 0);
        ck_assert_str_eq(url.scheme, cases[i].scheme);
        ck_assert_str_eq(url.host, cases[i].host);
        ck_assert_uint_eq(url.port, cases[i].port);
    }
}
END_TEST

START_TEST(a_unix_URL_has_a_path_and_an_address)
{
    static const char *const paths[] = {"/", "/run/echo.sock", "echo.sock", "a b:c[d]?#",
                                        "\xc3\xa4"};
    char text[RILL_ADDRESS_TEXT_MAX], url_text[120];
    struct rill_address address;
    const char *why = NULL;
    struct rill_url url;

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        snprintf(url_text, sizeof url_text, "%s://%s", i % 2 ? "UNIX" : "unix", paths[i]);
        ck_assert_int_eq(rill_url_parse(&url, url_text, &why), 0);
        ck_assert_str_eq(url.path, paths[i]);
        ck_assert_int_eq(rill_url_address(&url, &address, &why), 0);
        ck_assert_int_eq(address.any.sa_family, AF_UNIX);
        ck_assert_str_eq(rill_address_format(&address, text), paths[i]);
    }
}
END_TEST

START_TEST(a_path_may_have_107_characters_and_no_more)
{
    char path[120], url_text[140], text[RILL_ADDRESS_TEXT_MAX];
    struct rill_address address;
    const char *why = NULL;
    struct rill_url url;

    for (size_t size = 105; size < 112; size++) {
        memset(path, 'p', size);
        path[size] = '\0';
        snprintf(url_text, sizeof url_text, "unix://%s", path);
        ck_assert_int_eq(rill_url_parse(&url, url_text, &why), size <= 107 ? 0 : -EINVAL);
        ck_assert_int_eq(rill_address_set_path(&address, path), size <= 107 ? 0 : -ENAMETOOLONG);
        if (size <= 107)
            ck_assert_str_eq(rill_address_format(&address, text), path);
        else
            ck_assert_ptr_nonnull(strstr(why, "107"));
    }
    ck_assert_int_eq(rill_address_set_path(&address, ""), -EINVAL);
}
END_TEST

START_TEST(an_abstract_name_has_no_zero_behind_it)
{
    char path[120], text[RILL_ADDRESS_TEXT_MAX];
    const size_t before = offsetof(struct sockaddr_un, sun_path);
    struct rill_address address;
    const char *why = NULL;
    struct rill_url url;

    ck_assert_int_eq(rill_url_parse(&url, "unix://@echo", &why), 0);
    ck_assert_int_eq(rill_url_address(&url, &address, &why), 0);
    ck_assert_uint_eq(address.size, before + 5);
    ck_assert_mem_eq(address.local.sun_path, "\0echo", 5);
    ck_assert(rill_address_is_abstract(&address));
    ck_assert_str_eq(rill_address_format(&address, text), "@echo");
    ck_assert_int_eq(rill_address_set_path(&address, "./@echo"), 0);
    ck_assert(!rill_address_is_abstract(&address));
    ck_assert_str_eq(rill_address_format(&address, text), "./@echo");

    memset(path, 'n', sizeof path);
    path[0] = '@';
    path[107] = '\0';
    ck_assert_int_eq(rill_address_set_path(&address, path), 0);
    ck_assert_str_eq(rill_address_format(&address, text), path);
    path[107] = 'n';
    path[108] = '\0';
    ck_assert_int_eq(rill_address_set_path(&address, path), -ENAMETOOLONG);
    ck_assert_int_eq(rill_address_set_path(&address, "@"), -EINVAL);

    /* Of others: a path or name without room for a zero, one with zeros, and none. */
    address = (struct rill_address){.local.sun_family = AF_UNIX, .size = sizeof address.local};
    memcpy(address.local.sun_path, path, sizeof address.local.sun_path);
    ck_assert_str_eq(rill_address_format(&address, text), path);
    address.local.sun_path[0] = address.local.sun_path[2] = '\0';
    path[2] = '@';
    ck_assert_str_eq(rill_address_format(&address, text), path);
    address.size++;
    ck_assert_str_eq(rill_address_format(&address, text), path);
    address.size = before;
    ck_assert(!rill_address_is_abstract(&address));
    ck_assert_str_eq(rill_address_format(&address, text), "");
}
END_TEST

START_TEST(a_URL_has_a_numeric_address_or_a_sentence_that_says_why_not)
{
    struct rill_address address;
    const char *why = NULL;
    struct rill_url url;

    ck_assert_int_eq(rill_url_parse(&url, "tcp://[::1]:80", &why), 0);
    ck_assert_int_eq(rill_url_address(&url, &address, &why), 0);
    ck_assert_int_eq(address.any.sa_family, AF_INET6);
    ck_assert_uint_eq(rill_address_port(&address), 80);
    ck_assert_int_eq(rill_url_parse(&url, "tcp://localhost:80", &why), 0);
    ck_assert_int_eq(rill_url_address(&url, &address, &why), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "numeric address"));
    ck_assert_int_eq(rill_url_parse(&url, "ftp://127.0.0.1:80", &why), 0);
    ck_assert_int_eq(rill_url_address(&url, &address, &why), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "scheme"));

    /* Filled in by hand. */
    url = (struct rill_url){.scheme = "unix"};
    ck_assert_int_eq(rill_url_address(&url, &address, &why), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "path is missing"));
    url = (struct rill_url){.scheme = "unix", .path = "@"};
    ck_assert_int_eq(rill_url_address(&url, &address, &why), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "name behind @ is missing"));
}
END_TEST

START_TEST(the_name_of_a_descriptor_is_not_that_of_a_unix_socket)
{
    char text[120] = "fd://";
    const char *why = NULL;
    struct rill_url url;

    ck_assert_int_eq(rill_url_parse(&url, "fd://@", &why), 0);
    ck_assert_str_eq(url.path, "@");
    memset(text + 5, 'n', 108);
    ck_assert_int_eq(rill_url_parse(&url, text, &why), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "descriptor's name is longer than 107"));
}
END_TEST

START_TEST(each_mistake_in_a_URL_has_its_sentence)
{
    static const struct {
        const char *url, *says;
    } cases[] = {
        {"", "scheme"},
        {"127.0.0.1:7000", "scheme"},
        {"://h:1", "scheme"},
        {"tcp:/h:1", "scheme"},
        {"t c p://h:1", "scheme"},
        {"abcdefghijklmnop://h:1", "scheme"},
        {"unix://", "path is missing"},
        {"fd://", "descriptor is missing"},
        {"fd://a\nb", "control character"},
        {"unix://@", "name behind @ is missing"},
        {"unix:///a\nb", "control character"},
        {"tcp://", "port is missing"},
        {"tcp://h", "port is missing"},
        {"tcp://:7000", "host is missing"},
        {"tcp://[]:7000", "host is missing"},
        {"tcp://h:", "65535"},
        {"tcp://h:-1", "65535"},
        {"tcp://h:+1", "65535"},
        {"tcp://h: 1", "65535"},
        {"tcp://h:1 ", "65535"},
        {"tcp://h:7000x", "65535"},
        {"tcp://h:7000/", "65535"},
        {"tcp://h:0x10", "65535"},
        {"tcp://h:65536", "65535"},
        {"tcp://h:4294967297", "65535"},
        {"tcp://h:99999999999999999999999999999", "65535"},
        {"tcp://::1:7000", "brackets"},
        {"tcp://fe80::1%eth0:7000", "brackets"},
        {"tcp://[::1", "bracket"},
        {"tcp://[::1]", "bracket"},
        {"tcp://[::1]7000", "bracket"},
        {"tcp://user@h:1", "no host has"},
        {"tcp://a/b:1", "no host has"},
        {"tcp://a b:1", "no host has"},
        {"tcp://a?b:1", "no host has"},
        {"tcp://a#b:1", "no host has"},
        /* What would break a log line, or end up in another's terminal. */
        {"tcp://a\nb:1", "no host has"},
        {"tcp://a\tb:1", "no host has"},
        {"tcp://a\x1b[31m:1", "no host has"},
        {"tcp://\x7f:1", "no host has"},
        {"tcp://]:1", "no host has"},
        {"tcp://a[b:1", "no host has"},
        {"tcp://[[::1]:1", "no host has"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *why = NULL;
        struct rill_url url;

        if (rill_url_parse(&url, cases[i].url, &why) != -EINVAL || !why ||
            !strstr(why, cases[i].says))
            ck_abort_msg("'%s' should be refused for '%s', not: %s", cases[i].url, cases[i].says,
                         why ? why : "taken");
    }
}
END_TEST

START_TEST(a_host_may_have_253_characters_and_no_more)
{
    char text[400], host[300];
    const char *why = NULL;
    struct rill_url url;

    for (int size = 250; size < 260; size++) {
        memset(host, 'h', sizeof host);
        snprintf(text, sizeof text, "tcp://%.*s:1", size, host);
        if (size <= 253) {
            ck_assert_int_eq(rill_url_parse(&url, text, &why), 0);
            ck_assert_uint_eq(strlen(url.host), size);
        } else {
            ck_assert_int_eq(rill_url_parse(&url, text, &why), -EINVAL);
            ck_assert_ptr_nonnull(strstr(why, "253"));
        }
    }
}
END_TEST

/* Whatever the bytes are, it is one of the two, and nothing beyond the struct is touched. */
START_TEST(random_text_is_taken_or_refused_with_a_sentence)
{
    static const char letters[] = "tcp://[]:%.-@ \n\x7f\xff"
                                  "0123456789abcdefgh";
    unsigned seed = 12345;

    for (int round = 0; round < 200000; round++) {
        char *text;
        size_t size = (size_t)rand_r(&seed) % 40;
        const char *why = NULL;
        struct rill_url url;
        struct rill_address address;
        int result;

        text = malloc(size + 1); /* so that the sanitizer sees its end */
        expect(text != NULL);
        for (size_t i = 0; i < size; i++)
            text[i] = i < 6 && round % 2 ? "tcp://"[i]
                                         : letters[(size_t)rand_r(&seed) % (sizeof letters - 1)];
        text[size] = '\0';
        result = rill_url_parse(&url, text, &why);
        expect(result == 0 || (result == -EINVAL && why));
        expect(strlen(url.host) < sizeof url.host && strlen(url.scheme) < sizeof url.scheme);
        rill_address_parse(&address, text, 1);
        free(text);
    }
}
END_TEST

static void read_no_url(void)
{
    struct rill_url url;
    const char *why;

    rill_url_parse(&url, NULL, &why);
}

START_TEST(a_URL_that_is_NULL_is_a_panic)
{
    (void)_i;
    fixture_expect_panic(read_no_url, "NULL is no URL; want scheme://host:port");
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {addresses_are_read_and_written, IN_SIMULATED},
        {that_no_port_can_be_had_is_explained_by_the_port_that_was_asked_for, IN_SIMULATED},
        {what_is_no_numeric_address_is_EINVAL, IN_SIMULATED},
        {long_hosts_overflow_nothing, IN_SIMULATED},
        {a_zone_is_an_interface_by_name_and_is_read_as_it_is_written, IN_SIMULATED},
        {the_longest_address_fits_into_its_text, IN_SIMULATED},
        {URLs_are_taken_apart, IN_SIMULATED},
        {a_unix_URL_has_a_path_and_an_address, IN_SIMULATED},
        {a_path_may_have_107_characters_and_no_more, IN_SIMULATED},
        {an_abstract_name_has_no_zero_behind_it, IN_SIMULATED},
        {a_URL_has_a_numeric_address_or_a_sentence_that_says_why_not, IN_SIMULATED},
        {the_name_of_a_descriptor_is_not_that_of_a_unix_socket, IN_SIMULATED},
        {each_mistake_in_a_URL_has_its_sentence, IN_SIMULATED},
        {a_host_may_have_253_characters_and_no_more, IN_SIMULATED},
        {a_URL_that_is_NULL_is_a_panic, IN_SIMULATED},
        {random_text_is_taken_or_refused_with_a_sentence, IN_SIMULATED},
    };

    return fixture_main("address", cases, sizeof cases / sizeof *cases);
}
