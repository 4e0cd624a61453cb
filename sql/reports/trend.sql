-- title = "Rising and falling labels"
-- question = "What is rising, and what is falling?"
-- read = """
-- Share of the items listed in the last months against the first ones; the change in percentage
-- points with Newcombe's 95 % interval. A label is called rising or falling where the two shares
-- differ by a two-proportion test at a false-discovery rate of 5 % over all labels shown (Benjamini
-- and Hochberg 1995). `log_odds` is the change of the log-odds, half an item added to each count
-- (Haldane 1956; Anscombe 1956). `true_change` is the change without what the model's errors take
-- from it: divided by sensitivity + specificity - 1 on its validation split, with an interval that
-- counts how few photos these rest on. `steady` where the monthly shares also go one way from the
-- first month to the last, by Mann and Kendall's test (1945, 1975) at the same false-discovery
-- rate; `tau` is Kendall's. `course` draws the share of the last 36 months, scaled to the label's
-- highest; a gap is a month without listings.
-- """
-- empty = """
-- Fewer than two months have items with a listing date: load a product feed with listed_at.
-- """
--
-- [plot]
-- kind = "trend"
--
-- [show]
-- percent = ["share_first", "share_last"]
-- points = ["change", "low", "high", "true_change"]
-- detail = ["group", "true_low", "true_high", "tau", "log_odds", "items_first", "items_last"]
--
-- [parameters]
-- months = { default = 6, meaning = "months in each of the two windows; at most half of the months there are" }
-- min_items = { default = 10, meaning = "leave out labels on fewer items in the two windows together" }

with listed as materialized (select * from items_by_month),

shown as materialized (select * from item_labels_by_month),

span as (
    select
        min(month) as first_month,
        max(month) as last_month,
        date_diff('month', min(month), max(month)) + 1 as months
    from listed
),

windows as (
    select
        *,
        least(greatest(coalesce(getvariable('months'), 6), 1), months // 2)::integer as width
    from span
),

sides as (
    select
        month,
        items,
        month < first_month + to_months(width) as early,
        month > last_month - to_months(width) as late
    from listed
    cross join windows
),

totals as (
    select
        sum(items) filter (early)::bigint as n1,
        sum(items) filter (late)::bigint as n2
    from sides
),

counted as (
    select
        counts."group",
        counts.label,
        coalesce(sum(counts.items) filter (sides.early), 0)::bigint as k1,
        coalesce(sum(counts.items) filter (sides.late), 0)::bigint as k2,
        coalesce(sum(parts) filter (sides.early), 0) as x1,
        coalesce(sum(parts) filter (sides.late), 0) as x2,
        coalesce(sum(squares) filter (sides.early), 0) as q1,
        coalesce(sum(squares) filter (sides.late), 0) as q2
    from shown as counts
    join sides on sides.month = counts.month
    group by counts."group", counts.label
),

compared as (
    select
        *,
        p_of_z(difference_z(k1, n1, k2, n2)) as p
    from counted
    cross join totals
    where n1 > 0 and n2 > 0 and k1 + k2 >= coalesce(getvariable('min_items'), 10)
),

judged as (
    select *, p <= (select discovery_limit(list(p)) from compared) as found
    from compared
),

-- Over all months: pairs of months in which the later share is higher, less those in which it is
-- lower; its variance allows for ties (Kendall 1975).
every_month as (
    select
        labels."group",
        labels.label,
        listed.month,
        coalesce(shown.items, 0) / listed.items as share
    from judged as labels
    cross join listed
    left join shown
        on shown.month = listed.month
        and shown.label = labels.label
        and shown."group" = labels."group"
),

ordered as (
    select
        earlier."group",
        earlier.label,
        sum(sign(later.share - earlier.share)) as s,
        count(*) as pairs,
        count(*) filter (later.share <> earlier.share) as untied
    from every_month as earlier
    join every_month as later
        on later.label = earlier.label
        and later."group" = earlier."group"
        and later.month > earlier.month
    group by earlier."group", earlier.label
),

ties as (
    select "group", label, sum(n) as n, sum(n * (n - 1) * (2 * n + 5)) as tied
    from (
        select "group", label, share, count(*) as n
        from every_month
        group by "group", label, share
    )
    group by "group", label
),

kendall as (
    select
        ordered."group",
        ordered.label,
        s / nullif(sqrt(pairs * untied::double), 0) as tau,
        p_of_z(coalesce(s / nullif(sqrt((n * (n - 1) * (2 * n + 5) - tied) / 18.0), 0), 0)) as p
    from ordered
    join ties on ties.label = ordered.label and ties."group" = ordered."group"
),

steadied as (
    select "group", label, tau, p <= (select discovery_limit(list(p)) from kendall) as steady
    from kendall
),

-- The change without the model's errors, and its variance by the delta method.
undone as (
    select
        judged."group",
        judged.label,
        (x2 / n2 - x1 / n1) / (sensitivity + specificity - 1) as true_change,
        sqrt(
            (x1 / n1 * (1 - x1 / n1) / effective_items(x1, q1, n1)
                + x2 / n2 * (1 - x2 / n2) / effective_items(x2, q2, n2))
            + pow((x2 / n2 - x1 / n1) / (sensitivity + specificity - 1), 2) * (
                adjusted_sensitivity(tp, fn) * (1 - adjusted_sensitivity(tp, fn)) / (tp + fn + 2)
                + adjusted_specificity(fp, tn) * (1 - adjusted_specificity(fp, tn)) / (tn + fp + 2))
        ) / (sensitivity + specificity - 1) as error
    from judged
    join labels on labels.label = judged.label and labels."group" = judged."group"
    where can_correct(tp, fp, fn, tn)
),

grid as (
    select
        labels."group",
        labels.label,
        unnest(generate_series(
            greatest(first_month, last_month - interval 35 month), last_month, interval 1 month
        ))::date as month
    from chosen_labels as labels
    cross join span
),

monthly as (
    select
        grid."group",
        grid.label,
        grid.month,
        case when months.items > 0 then coalesce(counts.items, 0) / months.items end as share
    from grid
    left join listed as months on months.month = grid.month
    left join shown as counts
        on counts.month = grid.month
        and counts.label = grid.label
        and counts."group" = grid."group"
),

scaled as (
    select *, nullif(max(share) over (partition by "group", label), 0) as highest
    from monthly
),

courses as (
    select
        "group",
        label,
        string_agg(
            case
                when share is null then ' '
                else substr(
                    '▁▂▃▄▅▆▇█',
                    1 + least(7, floor(8 * coalesce(share / highest, 0)))::integer,
                    1
                )
            end,
            '' order by month
        ) as course
    from scaled
    group by "group", label
)

select
    judged.label,
    judged."group",
    case when found and k2 / n2 > k1 / n1 then 'rising' when found then 'falling' end as verdict,
    k1 / n1 as share_first,
    k2 / n2 as share_last,
    k2 / n2 - k1 / n1 as change,
    difference_low(k1, n1, k2, n2) as low,
    difference_high(k1, n1, k2, n2) as high,
    true_change,
    true_change - 1.959963984540054 * undone.error as true_low,
    true_change + 1.959963984540054 * undone.error as true_high,
    steady,
    tau,
    log_odds_change(k1, n1, k2, n2) as log_odds,
    k1 as items_first,
    n1 as of_first,
    k2 as items_last,
    n2 as of_last,
    courses.course
from judged
join courses on courses.label = judged.label and courses."group" = judged."group"
left join steadied on steadied.label = judged.label and steadied."group" = judged."group"
left join undone on undone.label = judged.label and undone."group" = judged."group"
order by change desc, judged.label, judged."group";
