# From src/config/options.def to what people read, so that a setting is described in one place:
#
#     awk -v form=conf  -f options.awk options.def    the lines of vignette.conf, commented out
#     awk -v form=mdoc  -f options.awk options.def    the list of vignette.conf(5)
#     awk -v form=names -f options.awk options.def    the names alone, one a line
#
# In conf, `set` ("name value;name value") names the settings that are shipped in force.

BEGIN {
    form_of["DURATION"] = "a duration: 250ms, 30s, 5m"
    form_of["SIZE"] = "a size: 65536, 64k, 16m, 1g"
    form_of["COUNT"] = "a whole number"
    form_of["FLAG"] = "yes or no"
    form_of["LEVEL"] = "error, warn, info or debug"
    form_of["FORMAT"] = "text or json"
    form_of["NAME"] = "a name"
    form_of["PATH"] = "a path"
    form_of["TARGET"] = "stderr, syslog or a path"
    form_of["ENDPOINT"] = "[host:]port"
    form_of["SEED"] = "host:port"
    form_of["RANGE"] = "an address, a block (10.0.0.0/8) or none"
    form_of["RULE"] = "PATTERN VALUE"
    form_of["HTTP"] = "[host:]port, unix:PATH or off"
    # What stands behind a commented name that has no default.
    example_of["listen"] = "127.0.0.1:6001"
    example_of["advertise"] = "192.0.2.7:6001"
    example_of["seed"] = "192.0.2.8:6001"
    example_of["cluster"] = "blue"
    example_of["plain-peer"] = "192.0.2.0/24"
    example_of["trust"] = "192.0.2.0/24"
    example_of["max-value"] = "visitors:* 64"
    example_of["http-listen"] = "127.0.0.1:6001"
    example_of["http-host"] = "counts.example.org"
    example_of["http-allow-origin"] = "https://dashboard.example.org"
    example_of["user"] = "vignette"
    example_of["group"] = "vignette"
    example_of["pidfile"] = "/run/vignette/vignette.pid"
    shipped_count = split(set, shipped, ";")
    for (i = 1; i <= shipped_count; i++) {
        blank = index(shipped[i], " ")
        value_of[substr(shipped[i], 1, blank - 1)] = substr(shipped[i], blank + 1)
    }
}

# "UINT64_C(1) << 20" and "3000" as numbers.
function number(text, parts) {
    gsub(/UINT64_C\(|[()]/, "", text)
    if (split(text, parts, / *<< */) == 2) {
        return parts[1] * 2 ^ parts[2]
    }
    return text + 0
}

function in_units(n, factors, units, i, f, u, unit, count) {
    count = split(factors, f, " ")
    split(units, u, " ")
    for (i = 1; i <= count && n != 0 && n % f[i] == 0; i++) {
        unit = i
    }
    return unit ? sprintf("%d%s", n / f[unit], u[unit]) : sprintf("%.0f", n)
}

# As option_print_number() has it.
function printed(type, n) {
    if (type == "DURATION") {
        return in_units(n, "1 1000 60000 3600000 86400000", "ms s m h d")
    }
    if (type == "SIZE") {
        return in_units(n, "1024 1048576 1073741824 1099511627776", "k m g t")
    }
    if (type == "FLAG") {
        return n ? "yes" : "no"
    }
    if (type == "LEVEL") {
        return n == 0 ? "error" : n == 1 ? "warn" : n == 2 ? "info" : "debug"
    }
    if (type == "FORMAT") {
        return n ? "json" : "text"
    }
    return sprintf("%.0f", n)
}

function print_wrapped(text, width, words, count, line, i) {
    count = split(text, words, " ")
    line = "#"
    for (i = 1; i <= count; i++) {
        if (length(line) + 1 + length(words[i]) > width) {
            print line
            line = "#"
        }
        line = line " " words[i]
    }
    print line
}

function print_conf(value, behind) {
    print ""
    print_wrapped(help, 79)
    behind = form_of[type]
    if (is_list) {
        behind = behind "; may be given more than once"
    }
    if (!is_reloaded) {
        behind = behind "; at a restart"
    }
    print_wrapped("(" behind ")", 79)
    if (name in value_of) {
        print name " " value_of[name]
    } else {
        print "#" name " " (initial == "" ? example_of[name] : initial)
    }
}

# A sentence a line, and long ones over several; none begins like a request of roff.
function print_sentence(text, words, count, line, i) {
    count = split(text, words, " ")
    line = words[1]
    for (i = 2; i <= count; i++) {
        if (length(line) + 1 + length(words[i]) > 79) {
            print line
            line = words[i] ~ /^[.']/ ? "\\&" words[i] : words[i]
        } else {
            line = line " " words[i]
        }
    }
    print line
}

function print_sentences(text) {
    gsub(/\\/, "\\e", text)
    while (match(text, /\. [A-Z]/)) {
        print_sentence(substr(text, 1, RSTART))
        text = substr(text, RSTART + 2)
    }
    print_sentence(text)
}

function print_mdoc() {
    print ".It Ic " name
    print_sentences(help)
    print ".br"
    print_sentence("Takes " form_of[type] (is_list ? "; may be given more than once." : "."))
    if (initial != "") {
        printf "Default: %s", initial
        print (most != "" && type != "FLAG" && type != "LEVEL" && type != "FORMAT") \
            ? ", from " least " to " most "." : "."
    }
    print is_reloaded ? "A reload applies it." : "A change takes effect at a restart."
}

/^\/\* -- .* -- \*\/$/ {
    title = $0
    gsub(/^\/\* -- | -- \*\/$/, "", title)
    if (form == "conf") {
        printf "\n\n# -- %s --\n", title
    } else if (form == "mdoc") {
        if (listed++) {
            print ".El"
        }
        print ".Ss " title
        print ".Bl -tag -width Ds"
    }
}

/^OPTION_/ {
    kind = substr($0, 8, index($0, "(") - 8)
    rest = substr($0, index($0, "(") + 1)
    sub(/\)$/, "", rest)
    # The help is the last argument and holds no quote.
    sub(/"$/, "", rest)
    at = match(rest, /"[^"]*$/)
    help = substr(rest, at + 1)
    count = split(substr(rest, 1, at - 1), field, / *, */)
    type = field[1]
    name = field[2]
    gsub(/_/, "-", name)
    initial = least = most = ""
    is_list = kind == "LIST"
    is_reloaded = field[count - 1] == "RELOAD"
    if (kind == "NUMBER") {
        initial = printed(type, number(field[3]))
        least = printed(type, number(field[4]))
        most = printed(type, number(field[5]))
    } else if (kind == "TEXT") {
        initial = field[3]
        gsub(/"/, "", initial)
    }
    if (form == "conf") {
        print_conf()
    } else if (form == "mdoc") {
        print_mdoc()
    } else {
        print name
    }
}

END {
    if (form == "mdoc") {
        print ".El"
    }
}
