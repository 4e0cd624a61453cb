-- title = "Photos to look at first"
-- question = "Which photos should a person look at first?"
-- read = """
-- For each label the photos whose score lies nearest to its threshold, on the log-odds scale: there
-- the model is least sure, and a person's word tells most. Rare labels come first, as they have the
-- fewest photos to learn from. What was reviewed before is left out; but where a photo was encoded
-- anew, what was said of the earlier one is asked again, before all else (`said_before`). `fftag
-- review export` writes the queue with room for the answers, and a longer one.
-- """
-- empty = "There are no photos with scores, or all were reviewed."
--
-- [show]
-- ratio = ["score", "threshold"]
-- detail = ["group", "distance", "said_before"]
--
-- [parameters]
-- per_label = { default = 5, meaning = "photos of each label" }
-- rows = { default = 100, meaning = "rows in all" }

with scored as (
    select
        photos.image,
        photos.sku,
        photos.source,
        photos.run_id,
        labels."group",
        labels.label,
        labels.threshold,
        photos.scores[labels.position + 1] as score
    from counted_files as photos
    join model_labels as labels on labels.model_id = photos.model_id
    semi join chosen_labels
        on chosen_labels.label = labels.label and chosen_labels."group" = labels."group"
    where photos.scores is not null and photos.is_apparel is distinct from false
),

near as (
    select
        *,
        abs(
            ln(greatest(score, 1e-6) / (1 - least(score, 1 - 1e-6)))
            - ln(greatest(threshold, 1e-6) / (1 - least(threshold, 1 - 1e-6)))) as distance
    from scored
),

waiting as (
    select near.*, offered.shown as said_before
    from near
    left join offered_corrections as offered
        on offered.image = near.image and offered.run_id = near.run_id
        and offered."group" = near."group" and offered.label = near.label
    anti join reviewed
        on reviewed.image = near.image and reviewed.run_id = near.run_id
        and reviewed."group" = near."group" and reviewed.label = near.label
),

nearest as (
    select
        "group",
        label,
        unnest(min_by(
            {
                'image': image, 'sku': sku, 'source': source,
                'score': score, 'threshold': threshold, 'distance': distance,
                'said_before': said_before
            },
            (said_before is null, distance, image, source), coalesce(getvariable('per_label'), 5))) as photo
    from waiting
    group by "group", label
),

support as (
    select tags."group", tags.label, count(*) as photos
    from tags
    semi join counted_files
        on counted_files.image = tags.image and counted_files.run_id = tags.run_id
    group by tags."group", tags.label
)

select
    nearest.label,
    nearest."group",
    photo.image,
    photo.sku,
    photo.source,
    photo.score >= photo.threshold as tagged,
    photo.score,
    photo.threshold,
    photo.distance,
    photo.said_before,
    coalesce(support.photos, 0) as photos_with_label
from nearest
left join support
    on support.label = nearest.label and support."group" = nearest."group"
order by
    photo.said_before is null, photos_with_label, nearest.label, nearest."group", photo.distance,
    photo.image
limit coalesce(getvariable('rows'), 100);
