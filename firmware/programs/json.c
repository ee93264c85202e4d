/* JSON: a writer that makes a document, a recursive-descent parser that makes a tree, and walks over the tree. */
#include "program.h"

#define TEXT 60000
#define NODES 8000

enum kind { NIL, FALSE, TRUE, NUMBER, STRING, ARRAY, OBJECT };

static struct node {
    enum kind kind;
    u32 start, length;      /* of a string, in the text */
    double number;
    struct node *first, *next, *key;
} nodes[NODES];

static char text[TEXT];
static u32 length, used, at, errors;
static u64 seed = 11;

static void put(const char *s)
{
    while (*s && length < TEXT - 1)
        text[length++] = *s++;
}

static void put_number(u32 n)
{
    char digits[12], *p = digits + sizeof digits;
    *--p = 0;
    do
        *--p = '0' + n % 10;
    while (n /= 10);
    put(p);
}

static void write_value(int depth)
{
    u32 choice = next_random(&seed) % (depth ? 8 : 5);
    static const char *const names[] = {"id", "name", "tags", "a longer key", "price", "\\u00e9\\n"};
    switch (choice) {
    case 0:
        put("null");
        break;
    case 1:
        put(next_random(&seed) & 1 ? "true" : "false");
        break;
    case 2:
        put("-");
        put_number(next_random(&seed) % 100000);
        put(".");
        put_number(next_random(&seed) % 1000);
        put("e-");
        put_number(next_random(&seed) % 4);
        break;
    case 3:
        put_number(next_random(&seed));
        break;
    case 4:
        put("\"some \\\"quoted\\\" text ");
        put_number(next_random(&seed) % 1000);
        put("\"");
        break;
    default:
        put(choice == 5 ? "[ " : "{ ");
        for (u32 i = 0, n = 1 + next_random(&seed) % 6; i < n; i++) {
            if (i)
                put(", ");
            if (choice != 5) {
                put("\"");
                put(names[next_random(&seed) % ARRAY_LEN(names)]);
                put("\" : ");
            }
            write_value(depth - 1);
        }
        put(choice == 5 ? " ]" : " }");
    }
}

static struct node *make(enum kind kind)
{
    struct node *n = &nodes[used < NODES - 1 ? used++ : used];
    n->kind = kind;
    return n;
}

static void skip(void)
{
    while (text[at] == ' ' || text[at] == '\n' || text[at] == '\t')
        at++;
}

static bool accept(const char *word)
{
    u32 i = 0;
    while (word[i] && text[at + i] == word[i])
        i++;
    if (word[i])
        return false;
    at += i;
    skip();
    return true;
}

static struct node *parse_string(void)
{
    struct node *n = make(STRING);
    n->start = at;
    while (text[at] && text[at] != '"')
        at += text[at] == '\\' ? 2 : 1;
    n->length = at - n->start;
    if (!accept("\""))
        errors++;
    return n;
}

static struct node *parse_number(void)
{
    struct node *n = make(NUMBER);
    double sign = accept("-") ? -1 : 1, value = 0, scale = 1;
    int exponent = 0;
    while (text[at] >= '0' && text[at] <= '9')
        value = value * 10 + (text[at++] - '0');
    if (text[at] == '.')
        for (at++; text[at] >= '0' && text[at] <= '9'; at++)
            value += (text[at] - '0') * (scale /= 10);
    if (text[at] == 'e') {
        bool negative = text[++at] == '-';
        at += negative;
        while (text[at] >= '0' && text[at] <= '9')
            exponent = exponent * 10 + (text[at++] - '0');
        while (exponent-- > 0)
            value = negative ? value / 10 : value * 10;
    }
    skip();
    n->number = sign * value;
    return n;
}

static struct node *parse(void)
{
    if (accept("null"))
        return make(NIL);
    if (accept("true"))
        return make(TRUE);
    if (accept("false"))
        return make(FALSE);
    if (accept("\""))
        return parse_string();
    bool object = text[at] == '{';
    if (!object && text[at] != '[')
        return parse_number();
    struct node *n = make(object ? OBJECT : ARRAY), **link = &n->first;
    accept(object ? "{" : "[");
    do {
        struct node *key = 0;
        if (object) {
            if (!accept("\""))
                errors++;
            key = parse_string();
            if (!accept(":"))
                errors++;
        }
        *link = parse();
        (*link)->key = key;
        link = &(*link)->next;
    } while (accept(","));
    if (!accept(object ? "}" : "]"))
        errors++;
    return n;
}

static u32 counts[OBJECT + 1], deepest;
static double total;
static u64 hash = DIGEST_START;

static void walk(const struct node *n, u32 depth)
{
    counts[n->kind]++;
    deepest = depth > deepest ? depth : deepest;
    hash = digest(hash, &n->kind, 1);
    if (n->key)
        hash = digest(hash, text + n->key->start, n->key->length);
    if (n->kind == STRING)
        hash = digest(hash, text + n->start, n->length);
    if (n->kind == NUMBER) {
        total += n->number;
        hash = digest(hash, &n->number, sizeof n->number);
    }
    for (const struct node *c = n->first; c; c = c->next)
        walk(c, depth + 1);
}

void program(void)
{
    put("[");
    do {
        write_value(6);
        put(",\n");
    } while (length < TEXT / 2);
    put("null]");
    for (int round = 0; round < 4; round++) {
        memset(nodes, 0, sizeof nodes);
        at = used = 0;
        walk(parse(), 0);
    }
    printf("%u bytes, %u nodes, %u errors, depth %u, rest %u\n", length, used, errors, deepest, length - at);
    printf("null %u false %u true %u number %u string %u array %u object %u\n", counts[0], counts[1], counts[2],
           counts[3], counts[4], counts[5], counts[6]);
    u64 sum;
    memcpy(&sum, &total, sizeof sum);
    printf("sum %016llx, digest %llx\n", sum, hash);
}
