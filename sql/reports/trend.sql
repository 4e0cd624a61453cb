-- title: Rising and falling labels
-- question: What is rising, and what is falling?
-- read: Share of the items listed in the last months against the first ones; the change in
--   percentage points with Newcombe's 95 % interval. A label is called rising or falling where the
--   two shares differ by a two-proportion test at a false-discovery rate of 5 % over all labels
--   shown (Benjamini and Hochberg 1995). `log_odds` is the change of the log-odds, half an item
--   added to each count (Haldane 1956; Anscombe 1956). `course` draws the share of the
--   last 36 months, scaled to the label's highest; a gap is a month without listings.
-- parameter: months = 6: months in each of the two windows; at most half of the months there are
-- parameter: min_items = 10: leave out labels on fewer items in the two windows together
-- show: share_first share_last as percent
-- show: change low high as points
-- show: log_odds items_first items_last as detail
-- plot: trend
-- empty: Fewer than two months have items with a listing date: load a product feed with listed_at.

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
        counts.label,
        coalesce(sum(counts.items) filter (sides.early), 0)::bigint as k1,
        coalesce(sum(counts.items) filter (sides.late), 0)::bigint as k2
    from shown as counts
    join sides on sides.month = counts.month
    group by counts.label
),

compared as (
    select
        *,
        p_of_z(difference_z(k1, n1, k2, n2)) as p
    from counted
    cross join totals
    where n1 > 0 and n2 > 0 and k1 + k2 >= coalesce(getvariable('min_items'), 10)
),

ranked as (
    -- Equal p-values share the highest of their ranks.
    select
        *,
        count(*) over (order by p range between unbounded preceding and current row)
            * 0.05 / count(*) over () as allowed
    from compared
),

-- Benjamini and Hochberg: all whose p is at most the largest p that is within its allowance.
judged as (
    select *, p <= coalesce(max(p) filter (p <= allowed) over (), -1) as found
    from ranked
),

grid as (
    select
        labels.label,
        unnest(generate_series(
            greatest(first_month, last_month - interval 35 month), last_month, interval 1 month
        ))::date as month
    from labels
    cross join span
),

monthly as (
    select
        grid.label,
        grid.month,
        case when months.items > 0 then coalesce(counts.items, 0) / months.items end as share
    from grid
    left join listed as months on months.month = grid.month
    left join shown as counts
        on counts.month = grid.month and counts.label = grid.label
),

scaled as (
    select *, nullif(max(share) over (partition by label), 0) as highest
    from monthly
),

courses as (
    select
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
    group by label
)

select
    judged.label,
    case when found and k2 / n2 > k1 / n1 then 'rising' when found then 'falling' end as verdict,
    k1 / n1 as share_first,
    k2 / n2 as share_last,
    k2 / n2 - k1 / n1 as change,
    difference_low(k1, n1, k2, n2) as low,
    difference_high(k1, n1, k2, n2) as high,
    log_odds_change(k1, n1, k2, n2) as log_odds,
    k1 as items_first,
    n1 as of_first,
    k2 as items_last,
    n2 as of_last,
    courses.course
from judged
join courses on courses.label = judged.label
order by change desc, judged.label;
