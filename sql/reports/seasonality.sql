-- title = "Labels with a season"
-- question = "What has a season?"
-- read = """
-- Share of the items listed in the three months of the year in which the label stands highest
-- (`peak`), against the other months, after the straight line through all months is taken out. It
-- needs two whole years: one alone cannot tell a season from a trend. `seasonal` where the peak is
-- above the rest in every year and told from chance at a false-discovery rate of 5 % over all
-- labels, each allowed for twelve places of the peak (Bonferroni). `profile` draws January to
-- December.
-- """
-- empty = """
-- There are not two years of items with a listing date, so no season can be told from a trend.
-- """
--
-- [plot]
-- kind = "bars"
-- names = ["label"]
-- value = "difference"
-- interval = ["low", "high"]
--
-- [show]
-- percent = ["peak_share", "rest_share"]
-- points = ["difference", "low", "high"]
-- detail = ["group", "items"]
--
-- [parameters]
-- min_items = { default = 20, meaning = "leave out labels on fewer items" }

with months as (
    select
        month,
        items as n,
        date_diff('month', min(month) over (), month) as t,
        (year(month) * 12 + month(month) - 1
            - (year(min(month) over ()) * 12 + month(min(month) over ()) - 1)) // 12 as year
    from items_by_month
),

enough as (
    select max(t) + 1 as span, (max(t) + 1) // 12 as years
    from months
),

cells as (
    select
        labels."group",
        labels.label,
        months.month,
        month(months.month) as place,
        months.t,
        months.year,
        months.n,
        coalesce(counts.items, 0) as k,
        coalesce(counts.items, 0) / months.n as share
    from chosen_labels as labels
    cross join months
    cross join enough
    left join item_labels_by_month as counts
        on counts.label = labels.label and counts."group" = labels."group"
        and counts.month = months.month
    where enough.span >= 24 and months.year < enough.years
),

lines as (
    select
        "group",
        label,
        regr_slope(share, t) as slope,
        avg(t) as middle,
        sum(k) as items,
        sum(k) / sum(n) as overall
    from cells
    group by "group", label
    having sum(k) >= coalesce(getvariable('min_items'), 20)
),

flat as (
    select cells.*, share - slope * (t - middle) as level, overall
    from cells
    join lines on lines.label = cells.label and lines."group" = cells."group"
),

starts as (select unnest(range(1, 13)) as start),

windows as (
    select
        "group",
        label,
        start,
        year,
        (place - start + 12) % 12 < 3 as inside,
        sum(level * n) as level_items,
        sum(n) as n,
        sum(k) as k
    from flat
    cross join starts
    group by all
),

sides as (
    select
        "group",
        label,
        start,
        sum(level_items) filter (inside) / sum(n) filter (inside) as peak,
        sum(level_items) filter (not inside) / sum(n) filter (not inside) as rest,
        sum(n) filter (inside) as n1,
        sum(n) filter (not inside) as n0
    from windows
    group by "group", label, start
),

yearly as (
    select "group", label, start, count(*) filter (above) as years_above, count(*) as years
    from (
        select
            "group",
            label,
            start,
            year,
            sum(level_items) filter (inside) / sum(n) filter (inside)
                > sum(level_items) filter (not inside) / sum(n) filter (not inside) as above
        from windows
        group by "group", label, start, year
    )
    where above is not null
    group by "group", label, start
),

best as (
    select
        sides.*,
        lines.items,
        years_above,
        years,
        sqrt(overall * (1 - overall) * (1 / n1 + 1 / n0)) as error
    from sides
    join lines on lines.label = sides.label and lines."group" = sides."group"
    join yearly
        on yearly.label = sides.label
        and yearly."group" = sides."group"
        and yearly.start = sides.start
    qualify row_number() over (
        partition by sides."group", sides.label
        order by round(peak - rest, 12) desc nulls last, sides.start) = 1
),

tested as (
    select
        *,
        least(1, 12 * p_of_z(coalesce((peak - rest) / nullif(error, 0), 0))) as p
    from best
),

judged as (
    select *, p <= (select discovery_limit(list(p)) from tested) as found
    from tested
),

profiles as (
    select
        "group",
        label,
        string_agg(
            substr(
                '▁▂▃▄▅▆▇█',
                1 + least(7, floor(8 * coalesce((level - low) / nullif(high - low, 0), 0)))::integer,
                1),
            '' order by place) as profile
    from (
        select
            "group",
            label,
            place,
            sum(level * n) / sum(n) as level,
            min(sum(level * n) / sum(n)) over (partition by "group", label) as low,
            max(sum(level * n) / sum(n)) over (partition by "group", label) as high
        from flat
        group by "group", label, place
    )
    group by "group", label
)

select
    judged.label,
    judged."group",
    case when found and years_above = years then 'seasonal' end as verdict,
    strftime(make_date(2001, start, 1), '%b') || ' to '
        || strftime(make_date(2001, (start + 1) % 12 + 1, 1), '%b') as peak,
    greatest(0, judged.peak) as peak_share,
    greatest(0, rest) as rest_share,
    judged.peak - rest as difference,
    judged.peak - rest - 1.959963984540054 * error as low,
    judged.peak - rest + 1.959963984540054 * error as high,
    years_above,
    years,
    items,
    profiles.profile
from judged
join profiles on profiles.label = judged.label and profiles."group" = judged."group"
-- Sums by several threads differ in their last digits, which are not to tell what is equal.
order by found and years_above = years desc, round(difference, 12) desc, judged.label,
    judged."group";
