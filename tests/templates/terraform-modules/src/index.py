def lambda_handler(event, context):
    for record in event['Records']:
        print('SEEN', record['eventName'], record['dynamodb']['Keys']['id']['N'])
