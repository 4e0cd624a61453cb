-- title = "Catalogue health on one page"
-- question = "Is the catalogue healthy?"
-- read = """
-- One line per check, the worst first: how many of how many, and what to do. `look` means that
-- there is something to do; a report that shows it is named.
-- """
-- empty = "The catalogue has no files."
-- by_label = false
--
-- [plot]
-- kind = "bars"
-- names = ["check"]
-- value = "share"
--
-- [show]
-- percent = ["share"]

with about as (select * from basis),

checks as (
    select
        'files that could not be read' as "check",
        failed as count,
        (select count(*) from counted_files) as of_all,
        'files' as what,
        'failures' as report,
        'restore them; the next `fftag tag` reads them again' as what_to_do
    from about
    union all
    select 'photos without a label',
        (
            select count(*) from item_photos
            anti join reviewed
                on reviewed.image = item_photos.image and reviewed.run_id = item_photos.run_id
            where tag_count = 0
        ) + (
            select count(*) from item_photos
            semi join reviewed
                on reviewed.image = item_photos.image and reviewed.run_id = item_photos.run_id
            anti join photo_labels
                on photo_labels.image = item_photos.image
                and photo_labels.run_id = item_photos.run_id),
        photos, 'photos', 'review',
        'look at some: the screen, the thresholds or the model may miss them'
    from about
    union all
    select 'photos without apparel', without_apparel,
        without_apparel + without_product + photos, 'photos', 'coverage',
        'leave them out of the folder, or accept that they are not counted'
    from about
    union all
    select 'photos of no product', without_product, without_product + photos, 'photos', 'coverage',
        'complete the feed, or give another --sku-pattern'
    from about
    union all
    select 'products without a photo', products_without_photo,
        products_without_photo + items, 'products', 'coverage', 'photograph them'
    from about where counted = 'products'
    union all
    select 'items without a date', items - items_with_date, items, counted, 'trend',
        'fill listed_at in the feed, or load with --dates'
    from about
    union all
    select 'products without a price', (select count(*) from items where price is null), items,
        'products', 'prices', 'fill price in the feed'
    from about where counted = 'products'
    union all
    select 'products without a category', (select count(*) from items where category is null), items,
        'products', 'category', 'the report suggests some'
    from about where counted = 'products'
    union all
    select 'products listed in the future',
        (select count(*) from items where listed_at > current_date), items,
        'products', 'monthly', 'correct listed_at in the feed'
    from about
    union all
    select 'photos under several products',
        (
            select coalesce(sum(files), 0)::bigint
            from (
                select count(*) as files
                from shared_photos
                join items on items.item_id = shared_photos.item_id
                group by content_sha256
                having count(distinct items.item_id) > 1)),
        photos, 'photos', 'duplicates', 'join the products, or take other photos'
    from about where counted = 'products'
    union all
    select 'labels that cannot be corrected',
        (
            select count(*) from labels
            where not coalesce(can_correct(tp, fp, fn, tn), false)),
        (select count(*) from labels), 'labels', 'prevalence',
        'validate the model on more photos of them'
)

select
    "check",
    case when count > 0 then 'look' else 'fine' end as verdict,
    count,
    of_all,
    what,
    count / nullif(of_all, 0) as share,
    report,
    case when count > 0 then what_to_do end as what_to_do
from checks
where (select count(*) from chosen_files) > 0
order by count = 0, share desc nulls last, "check";
