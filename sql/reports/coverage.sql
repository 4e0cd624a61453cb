-- title = "What the numbers cover"
-- question = "How much of each source is covered?"
-- read = """
-- From the files of each source to the photos that are counted: what could not be read, shows no
-- apparel, or belongs to no product of the feed; and how many of the feed's products have a photo.
-- """
-- empty = "The catalogue has no files."
-- by_label = false
--
-- [plot]
-- kind = "bars"
-- names = ["source"]
-- value = "share"
--
-- [show]
-- percent = ["share"]

with counted as (
    select
        source,
        count(*) as files,
        count(*) filter (status <> 'ok') as failed,
        count(*) filter (status = 'ok' and not is_apparel) as without_apparel,
        count(*) filter (status = 'ok' and is_apparel is distinct from false and item_id is null)
            as without_product
    from counted_files
    group by source
),

used as (
    select source, sum(photos)::bigint as photos, count(*) as items
    from items
    group by source
),

fed as (select source, count(sku) as products from chosen_items group by source)

select
    counted.source,
    files,
    failed,
    without_apparel,
    without_product,
    coalesce(photos, 0) as photos_counted,
    coalesce(photos, 0) / files as share,
    coalesce(products, 0) as products,
    case when products > 0 then coalesce(items, 0) end as products_with_photo
from counted
left join used on used.source = counted.source
left join fed on fed.source = counted.source
order by files desc, counted.source;
